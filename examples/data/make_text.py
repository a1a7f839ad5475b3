"""Makes names.csv and events.jsonl: small, seeded, invented, and dirty in the ways that real data is.

    python3 make_text.py
"""

import csv
import json
import random
import unicodedata
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
FIRST = ["Anna", "Béla", "Chloé", "Dmitri", "Esi", "Farah", "Grace", "Håkon", "Ines", "José", "Kofi", "Lucía", "Mei", "Noor", "Ólafur", "Priya"]
LAST = ["Adeyemi", "Brown", "Çelik", "Dvořák", "Eriksson", "Fernández", "García", "Huang", "Iversen", "Jansen", "Kowalski", "Łukasik", "Müller", "Nguyen", "O'Brien", "Peña"]
CITIES = ["Berlin", "São Paulo", "New York", "Kraków", "Lagos", "Zürich", "Hanoi", "Malmö"]
KINDS = ["view", "click", "purchase", "refund"]


def dirty(rng: random.Random, text: str) -> str:
    """`text` with one of the faults that the clean-up example mends."""
    fault = rng.randrange(9)
    if fault == 0:
        return text.upper()
    if fault == 1:
        return text.lower()
    if fault == 2:
        return f"  {text} "
    if fault == 3:
        return text.replace(" ", "   ")
    if fault == 4:
        return text.replace(" ", "\u00a0")
    if fault == 5:
        return text.replace(" ", "\t")
    if fault == 6:
        return unicodedata.normalize("NFD", text)
    if fault == 7:
        return ", ".join(reversed(text.split(" ", 1)))
    return text


def names(rng: random.Random) -> None:
    with open(HERE / "names.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "name", "email", "city"])
        for number in range(1, 201):
            first, last = rng.choice(FIRST), rng.choice(LAST)
            email = f"{first}.{last}@example.org".replace("'", "")
            rows.writerow([
                number,
                dirty(rng, f"{first} {last}") if rng.random() > 0.05 else "",
                email.upper() if rng.random() < 0.2 else f" {email}" if rng.random() < 0.1 else email,
                dirty(rng, rng.choice(CITIES)),
            ])


def events(rng: random.Random) -> None:
    at = datetime(2026, 3, 1, 8, tzinfo=timezone.utc)
    with open(HERE / "events.jsonl", "w", encoding="utf-8") as file:
        for number in range(1, 401):
            at += timedelta(milliseconds=rng.randrange(50, 90_000))
            event = {
                "id": number,
                "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "user": f"u-{rng.randrange(1, 60)}",
                "kind": rng.choices(KINDS, [60, 30, 9, 1])[0],
                "page": f"/{rng.choice(['home', 'offers', 'basket', 'über-uns'])}",
            }
            if event["kind"] in ("purchase", "refund"):
                event["amount"] = round(rng.uniform(1, 500), 2)
                event["currency"] = rng.choice(["EUR", "USD", "PLN"])
            line = json.dumps(event, ensure_ascii=rng.random() < 0.1)
            if number % 40 == 7:
                line = line[: rng.randrange(10, len(line) - 1)]  # cut off
            elif number % 80 == 19:
                line = json.dumps({**event, "id": "seven"})  # a wrong type
            elif number % 80 == 53:
                del event["at"]  # a missing key
                line = json.dumps(event)
            elif number == 200:
                line = "-- collector restarted --"  # not JSON
            elif number == 300:
                line = "[1, 2, 3]"  # not an object
            file.write(line + "\n")


if __name__ == "__main__":
    names(random.Random(2013))
    events(random.Random(2014))
