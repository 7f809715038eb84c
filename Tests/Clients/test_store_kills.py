"""A server that keeps its items in a file is killed a thousand times under load: see store_kills.py."""

import random

import pytest

import store_kills
from server import binary

pytestmark = pytest.mark.larder_only


def test_a_thousand_kills():
    """Whatever was acknowledged is there after a restart at once, and nothing that was deleted or flushed."""
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    answered, sent, _ = store_kills.kills(binary(), 1000, seed)
    # Or else the kills came too late, or too early, to show anything.
    assert 0.5 * sent < answered < sent
