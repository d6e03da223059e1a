"""What of an answer is no free choice: sums, dates in their order, ratios. Computed with decimals, checked elsewhere.

Every function changes a freshly drawn answer in place so that all its invariants hold; a field that was not drawn stays
away.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from runners.edgejson.kinds import date_text, day, decimal, moment_text

Answer = dict[str, Any]
Derive = Callable[[Answer, random.Random], None]

PERIOD_MINUTES = 60 * 24 * 90


def _exact(value: float) -> Decimal:
    return Decimal(str(value))


def _put(owner: Answer, name: str, value: Decimal | float, places: int = 2) -> None:
    """Set a number, if the field was drawn."""
    if name in owner:
        owner[name] = decimal(value, places)


def _ordered(owner: Answer, rng: random.Random, *names: str) -> None:
    """Redraw moments so that each is after the one before."""
    moment = day(rng)
    for name in names:
        if name in owner:
            owner[name] = moment_text(moment) if "T" in owner[name] else date_text(moment)
        moment = _later(moment, rng)


def _later(moment: datetime, rng: random.Random) -> datetime:
    return moment + timedelta(days=1, minutes=rng.randrange(PERIOD_MINUTES))


def _api_response(answer: Answer, rng: random.Random) -> None:
    page = answer.get("pagination")
    if page:
        n_pages = -(-page["total"] // page["per_page"])
        page["page"] = rng.randint(1, max(1, n_pages))


def _event_registration(answer: Answer, rng: random.Random) -> None:
    _ordered(answer, rng, "registration_date", "event_date")


def _invoice(answer: Answer, rng: random.Random) -> None:
    subtotal = Decimal(0)
    for line in answer["line_items"]:
        total = line["quantity"] * _exact(line["unit_price"])
        _put(line, "total", total)
        subtotal += total
    _put(answer, "subtotal", subtotal)
    _put(answer, "tax", subtotal * Decimal("0.08"))
    answer["total_amount"] = decimal(subtotal + _exact(answer.get("tax", 0)), 2)
    _ordered(answer, rng, "invoice_date", "due_date")


def _meeting_notes(answer: Answer, rng: random.Random) -> None:
    for action in answer.get("action_items", []):
        if "due_date" in action:
            action["due_date"] = date_text(_later(datetime.fromisoformat(answer["date"]), rng))


def _order_details(answer: Answer, rng: random.Random) -> None:
    answer["total_amount"] = decimal(sum(item["quantity"] * _exact(item["price"]) for item in answer["items"]), 2)


def _shopping_cart(answer: Answer, rng: random.Random) -> None:
    lines = (
        item["quantity"] * _exact(item["price"]) * (100 - _exact(item.get("discount_percentage", 0))) / 100
        for item in answer["items"]
    )
    subtotal = sum(lines, Decimal(0))
    _put(answer, "subtotal", subtotal)
    _put(answer, "tax", subtotal * Decimal("0.08"))
    added = _exact(answer.get("shipping_cost", 0)) + _exact(answer.get("tax", 0))
    answer["total"] = decimal(_exact(decimal(subtotal, 2)) + added, 2)


def _support_ticket(answer: Answer, rng: random.Random) -> None:
    _ordered(answer, rng, "created_at", "updated_at")


def _ecommerce_analytics(answer: Answer, rng: random.Random) -> None:
    _ordered(answer["report_period"], rng, "start_date", "end_date")
    sales = answer["sales_metrics"]
    channels = sales.get("revenue_by_channel")
    if channels is not None:
        _put(sales, "total_revenue", sum(map(_exact, channels.values()), Decimal(0)))
    if "total_revenue" in sales and "total_orders" in sales:
        _put(sales, "average_order_value", _exact(sales["total_revenue"]) / sales["total_orders"])
    customers = answer.get("customer_metrics", {})
    if "new_customers" in customers and "returning_customers" in customers and "total_customers" in customers:
        customers["total_customers"] = customers["new_customers"] + customers["returning_customers"]


def _iot_device_network(answer: Answer, rng: random.Random) -> None:
    health = answer.get("network_health", {})
    online = sum(device["status"] == "online" for device in answer["devices"])
    if "devices_online" in health:
        health["devices_online"] = online
    if "devices_offline" in health:
        health["devices_offline"] = len(answer["devices"]) - online


def _medical_encounter(answer: Answer, rng: random.Random) -> None:
    born = datetime.fromisoformat(answer["visit_date"]) - timedelta(days=rng.randrange(7_000, 30_000))
    answer["patient"]["date_of_birth"] = date_text(born)
    vitals = answer.get("vitals", {})
    if {"bmi", "height_cm", "weight_kg"} <= vitals.keys():
        vitals["bmi"] = decimal(_exact(vitals["weight_kg"]) * 10_000 / _exact(vitals["height_cm"]) ** 2, 1)


def _multi_party_transaction(answer: Answer, rng: random.Random) -> None:
    _ordered(answer, rng, "initiation_timestamp", "completion_timestamp")
    parties = answer["parties"]
    if all("amount_involved" in party for party in parties):
        answer["total_amount"] = decimal(sum(_exact(party["amount_involved"]) for party in parties), 2)
    for party in parties:
        fees = party.get("fees", {})
        if "processing_fee" in fees and "platform_fee" in fees:
            _put(fees, "total_fees", _exact(fees["processing_fee"]) + _exact(fees["platform_fee"]))


def _nested_organization(answer: Answer, rng: random.Random) -> None:
    counts = [department.get("employee_count") for department in answer["departments"]]
    if "total_employees" in answer and None not in counts:
        answer["total_employees"] = sum(counts)


DERIVE: dict[str, Derive] = {
    "api_response": _api_response,
    "event_registration": _event_registration,
    "invoice": _invoice,
    "meeting_notes": _meeting_notes,
    "order_details": _order_details,
    "shopping_cart": _shopping_cart,
    "support_ticket": _support_ticket,
    "ecommerce_analytics": _ecommerce_analytics,
    "iot_device_network": _iot_device_network,
    "medical_encounter": _medical_encounter,
    "multi_party_transaction": _multi_party_transaction,
    "nested_organization": _nested_organization,
}
