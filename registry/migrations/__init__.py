"""The schema's history. HEAD is what this program writes; REVISIONS is every schema it can bring up to HEAD."""

HEAD = "0001"
REVISIONS = ("0001",)
