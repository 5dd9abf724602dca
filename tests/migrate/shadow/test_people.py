"""Who is behind a connection, and who is shadowed. until phase 3 (MG6)"""

from __future__ import annotations

from migrate.config.model import Table
from migrate.shadow.people import People, Person, connections_in, is_sampled

ANN = Person("demo", "ann")


def test_a_person_is_there_as_long_as_one_of_their_connections() -> None:
    """MG6: two devices, one subscriber."""
    people = People()
    assert people.connected("c1", ANN)
    assert not people.connected("c2", ANN)
    assert people.disconnected("c1") is None
    assert ANN in people.online()
    assert people.disconnected("c2") == ANN
    assert ANN not in people.online()
    assert people.who("c1") == ANN


def test_a_connect_that_comes_after_its_disconnect_opens_nothing() -> None:
    """MG6: records of two Lambdas may come in the other order, and nobody would ever close it again."""
    people = People()
    people.disconnected("c1")
    assert not people.connected("c1", ANN)
    assert ANN not in people.online()


def test_sampling_is_sticky_and_grows() -> None:
    """MG6: whoever is in at 10 % is in at 50 %, and the shares are about right."""
    everybody = [Person("demo", f"user{number}") for number in range(5000)]
    ten = {person for person in everybody if is_sampled(person, 10)}
    fifty = {person for person in everybody if is_sampled(person, 50)}
    assert ten < fifty
    assert 400 < len(ten) < 600
    assert not any(is_sampled(person, 0) for person in everybody)
    assert all(is_sampled(person, 100) for person in everybody)


def test_rows_of_every_shape_of_table() -> None:
    """MG6: a row a connection, rows among others in one table, and a map of connections in one row."""
    plain = Table(name="t", role="connections", key="connectionId", user="userId", tenant="tenantId")
    row = {"connectionId": {"S": "c1"}, "userId": {"S": "ann"}}
    assert list(connections_in(plain, row, "demo")) == [("c1", ANN)]
    assert list(connections_in(plain, {"connectionId": {"S": "c1"}}, "demo")) == []
    one = Table(name="t", role="connections", key="pk", user="user", row_prefix="CONN#", id_prefix="CONN#")
    assert list(connections_in(one, {"pk": {"S": "CONN#c1"}, "user": {"S": "ann"}}, "demo")) == [("c1", ANN)]
    assert list(connections_in(one, {"pk": {"S": "ROOM#c1"}, "user": {"S": "ann"}}, "demo")) == []
    several = Table(name="t", role="connections", key="user", user="user", map_attribute="connections")
    held = {"user": {"S": "ann"}, "connections": {"M": {"c1": {"S": "x"}, "c2": {"S": "y"}}}}
    assert list(connections_in(several, held, "demo")) == [("c1", ANN), ("c2", ANN)]
