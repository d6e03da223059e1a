"""Every format, one small file each. The order is the order in which a line is offered to them."""

from registry.ingest.formats import steps
from registry.ingest.grammar import LineFormat

LINE_FORMATS: tuple[LineFormat, ...] = (steps.FORMAT,)
