"""Files of definitions that the tests apply, and what is exported."""

from __future__ import annotations

from typing import Any

import yaml

from tests.cli.conftest import Scorekeeper

SHOP = """\
project: web-shop
name: Web Shop
timeZone: Europe/Berlin
conversionGoals:
  - name: Purchase
    eventType: purchase
    conditions: {country: {$in: [DE, NO]}}
    valueProperty: amount
goals:
  - metric: purchase
    aggregation: sum
    target: 1000
    deadline: 2036-12-31
"""

HOOK = "https://hooks.example.com/services/very-private"
ALERTS = f"""\
alerts:
  - name: Falls behind
    url: {HOOK}
    when: status_change
    holdMinutes: 10
  - {{name: Silent, url: {HOOK}, when: goal_silent, silentHours: 24}}
"""
WITH_ALERTS = SHOP + ALERTS


def exported(scorekeeper: Scorekeeper, *options: str) -> Any:
    return yaml.safe_load(scorekeeper("export", *options).out)
