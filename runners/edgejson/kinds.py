"""What a value is: how it is drawn, and what JSON Schema says of it. No word here is of anybody's data."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

FIRST_DAY = datetime(2021, 1, 1, tzinfo=UTC)
N_DAYS = 1800


def _words(*lines: str) -> list[str]:
    return " ".join(lines).split()


_GIVEN = _words(
    "Ada Bea Cora Dina Edda Finn Gus Hal Ida Jon Kai Lea Mia Nils Ola Pia Rosa Sven Tess Uma Vera Willa Yara Zoe"
)
_FAMILY = _words(
    "Abel Brandt Costa Duran Eklund Faro Gruber Hale Ibarra Jansen Kovac Lund Moreau Novak Okoye Petrov Quinn Rossi"
)
_WORDS = _words(
    "amber anchor apple basin birch bridge cable candle canyon carbon cedar circle clover copper coral cotton",
    "delta desert ember engine falcon fiber field flint forest garden glacier granite harbor hazel island ivory",
    "jacket kernel ladder lake lantern lemon lumber magnet maple marble meadow mirror motor needle noodle ocean",
    "olive onion orbit orchid panel paper pepper pillar planet pocket prairie quartz radar raven ribbon river",
    "rocket saddle salt sand silver socket spark stone summit sugar tablet timber tower tunnel valley velvet",
    "violet walnut water willow window winter",
)
_VERBS = _words(
    "arrived changed failed finished froze grew left moved opened paused reset returned shipped started stopped"
)
_CITIES = _words(
    "Ashford Brinkley Calder Dunmore Elmstead Fairhaven Glenrock Harwick Kingsley Lakemont Millbrook Norwood"
)
_STATES = _words("Aldora Bremia Castor Dorvale Estmark Farland Gallen Hestia")
_STREETS = _words("Bank Station Mill Church High North South Park")
_PRODUCTS = _words("Lamp Chair Kettle Router Camera Desk Jacket Bottle Speaker Drill Mixer Helmet")
_COMPANIES = _words("Works Labs Supply Systems Partners Foods Bank Clinic")
_OTHER = {
    "language": _words("en de fr es it pl sv pt"),
    "timezone": _words("UTC CET EET EST PST JST"),
    "diet": _words("vegan vegetarian halal kosher gluten-free"),
    "role": _words("chair speaker guest scribe"),
    "department": _words("Sales Finance Support Research Logistics Design"),
    "analyte": _words("glucose sodium potassium calcium ferritin albumin"),
    "unit": _words("mg/dL mmol/L g/L U/L"),
    "specialty": _words("cardiology neurology oncology radiology dermatology"),
    "media": _words("application/pdf image/png text/plain text/csv"),
}

Draw = Callable[[random.Random, float, float], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of value: its JSON Schema, and a function of (generator, low, high) that draws one."""

    json_schema: dict[str, Any]
    draw: Draw


def _name(rng: random.Random) -> str:
    return f"{rng.choice(_GIVEN)} {rng.choice(_FAMILY)}"


def _email(rng: random.Random, low: float, high: float) -> str:
    return f"{rng.choice(_GIVEN).lower()}{rng.randint(1, 99)}@example.{rng.choice(('org', 'net', 'com'))}"


def _phrase(rng: random.Random, n: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(n)).capitalize()


def _sentence(rng: random.Random, low: float, high: float) -> str:
    return f"The {rng.choice(_WORDS)} {rng.choice(_WORDS)} {rng.choice(_VERBS)}"


def _code(rng: random.Random, low: float, high: float) -> str:
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{rng.randint(1000, 9999)}"


def day(rng: random.Random) -> datetime:
    """Return a random moment of five years, at a whole minute."""
    return FIRST_DAY + timedelta(days=rng.randrange(N_DAYS), minutes=rng.randrange(1440))


def date_text(moment: datetime) -> str:
    """Return `2024-05-01`."""
    return moment.date().isoformat()


def moment_text(moment: datetime) -> str:
    """Return `2024-05-01T10:30:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def decimal(value: Decimal | float, places: int) -> float:
    """Return a number rounded half up to so many places, as the JSON number nearest to it."""
    return float(round(Decimal(str(value)), places))


def _tenths(rng: random.Random, low: float, high: float) -> float:
    return rng.randint(round(low * 10), round(high * 10)) / 10


def _text(words: list[str]) -> Kind:
    return Kind({"type": "string", "minLength": 1}, lambda rng, low, high: rng.choice(words))


_STRING = {"type": "string", "minLength": 1}
_NUMBER = {"type": "number"}
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$"

KINDS: dict[str, Kind] = {
    "word": _text(_WORDS),
    "phrase": Kind(_STRING, lambda rng, low, high: _phrase(rng, 2)),
    "sentence": Kind(_STRING, _sentence),
    "person": Kind(_STRING, lambda rng, low, high: _name(rng)),
    "company": Kind(_STRING, lambda rng, low, high: f"{rng.choice(_FAMILY)} {rng.choice(_COMPANIES)}"),
    "product": Kind(_STRING, lambda rng, low, high: f"{rng.choice(_WORDS).capitalize()} {rng.choice(_PRODUCTS)}"),
    "city": _text(_CITIES),
    "state": _text(_STATES),
    "street": Kind(_STRING, lambda rng, low, high: f"{rng.randint(1, 99)} {rng.choice(_STREETS)} Street"),
    "zip": Kind(_STRING, lambda rng, low, high: f"{rng.randint(10000, 99999)}"),
    "email": Kind({"type": "string", "format": "email"}, _email),
    "phone": Kind(
        _STRING, lambda rng, low, high: f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"
    ),
    "code": Kind(_STRING, _code),
    "version": Kind(_STRING, lambda rng, low, high: f"{rng.randint(0, 9)}.{rng.randint(0, 9)}.{rng.randint(0, 9)}"),
    "file": Kind(_STRING, lambda rng, low, high: f"{rng.choice(_WORDS)}.{rng.choice(('pdf', 'png', 'csv'))}"),
    "span": Kind(_STRING, lambda rng, low, high: f"{rng.randint(1, 9)}-{rng.randint(10, 30)}"),
    "dosage": Kind(_STRING, lambda rng, low, high: f"{rng.choice((5, 10, 20, 50, 100))} mg"),
    "frequency": _text(["once daily", "twice daily", "at night", "weekly"]),
    "date": Kind({"type": "string", "format": "date"}, lambda rng, low, high: date_text(day(rng))),
    "datetime": Kind({"type": "string", "pattern": _MOMENT}, lambda rng, low, high: moment_text(day(rng))),
    "boolean": Kind({"type": "boolean"}, lambda rng, low, high: rng.random() < 0.5),
    "integer": Kind({"type": "integer"}, lambda rng, low, high: rng.randint(int(low), int(high))),
    "money": Kind(_NUMBER, lambda rng, low, high: rng.randint(100, 49_999) / 100),
    "percent": Kind(_NUMBER, _tenths),
    "decimal": Kind(_NUMBER, _tenths),
    "latitude": Kind(_NUMBER, lambda rng, low, high: rng.randint(-900, 900) / 10),
    "longitude": Kind(_NUMBER, lambda rng, low, high: rng.randint(-1800, 1800) / 10),
    "choice": Kind(_STRING, lambda rng, low, high: ""),
    **{name: _text(words) for name, words in _OTHER.items()},
}
