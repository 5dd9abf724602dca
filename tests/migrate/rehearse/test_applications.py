"""What people say is heard by those for whom it is, and by nobody else (MG16). until phase 3"""

from __future__ import annotations

import pytest

from migrate.rehearse.applications import APPLICATIONS
from migrate.up.configs import FEATURES

PEOPLE = ["ann", "ben", "cleo"]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_feature_is_spoken_in(name: str) -> None:
    """A feature that nobody uses could not be compared, and would be moved unseen."""
    app = APPLICATIONS[name]
    spoken = set()
    texts: set[str] = set()
    for number in range(1, 11):
        what = app.utter("ann", number, PEOPLE)
        for feature in FEATURES[name]:
            if what.frame[feature.type_field] in feature.types:
                spoken.add(feature.name)
                assert feature.replay is not None
                assert feature.replay.path == what.path
        assert not texts & set(what.texts)
        texts |= set(what.texts)
    assert spoken == set(app.features) == {feature.name for feature in FEATURES[name]}


def test_own_copies_are_nobodys_message() -> None:
    direct, layers = APPLICATIONS["direct"], APPLICATIONS["layers"]
    message = {"senderEmail": "ann@example.com", "receiverEmail": "ben@example.com", "message": "x"}
    assert direct.hear("ben", "message", message) == "x"
    assert direct.hear("ann", "message", message) is None
    said = {"user_id": "ann", "message": "x"}
    assert layers.hear("ben", "chat_message", said) == "x"
    assert layers.hear("ann", "chat_message", said) is None
