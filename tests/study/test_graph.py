"""The concept graph: small ones whose numbers can be told by hand, and its file."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from support import RELATED as CONCEPTS

from age_core import ConceptSet
from age_core.concepts.concept_set import Concept
from age_core.study.graph import (
    communities,
    concept_graph,
    graph_statistics,
    relation,
    strengths,
    weighted_reciprocity,
    write_graphml,
)
from age_core.study.tables import COLUMNS, SideEffects

SOURCE = ("age", "DS-1")


def effects(*rows):
    """Of (erased, affected, delta), each give or take 0.05; a benefit of 0.06 at most is noise."""
    rows = [("tiny", "", "age", "adaptive", a, b, 0, "DS-1", 1.0, 1 - d, d, d - 0.05, d + 0.05) for a, b, d in rows]
    floor = [("tiny", "", "no edit, other seeds", "", "", "dog", 0, "DS-1", 1.0, 0.94, 0.06, 0.0, 0.1)]
    return SideEffects(pd.DataFrame(rows + floor, columns=list(COLUMNS)))


TWO_KINDS = effects(
    ("dog", "wolf", 0.4),
    ("wolf", "dog", 0.2),
    ("car", "taxi", 0.5),
    ("taxi", "bus", 0.3),
    ("bus", "car", 0.2),
    ("dog", "car", -0.3),  # a benefit
    ("dog", "bus", 0.055),  # its interval excludes zero, but it lies below the floor
    ("wolf", "bus", 0.04),
)


def test_edges_are_clear_effects_with_what_joins_the_two():
    graph = concept_graph(TWO_KINDS, SOURCE, CONCEPTS)
    assert set(graph) == set(CONCEPTS.names) and graph.number_of_edges() == 6
    assert not graph.has_edge("dog", "bus") and not graph.has_edge("wolf", "bus")
    assert graph.edges["dog", "wolf"] == pytest.approx(
        {"delta": 0.4, "low": 0.35, "high": 0.45, "relation": "same group"}
    )
    assert graph.edges["dog", "car"]["delta"] == -0.3 and graph.nodes["car"] == {"group": "vehicle"}
    assert graph.graph == {"method": "AGE, protected", "metric": "DS-1", "floor": 0.06}


def test_what_is_read_from_it_is_right_by_hand():
    graph = concept_graph(TWO_KINDS, SOURCE, CONCEPTS)
    row = graph_statistics(graph).iloc[0]
    assert row["edges"] == 6 and row["damages"] == 5
    assert row["reciprocity"] == pytest.approx(2 / 5)  # dog and wolf, of five damages
    assert row["weighted_reciprocity"] == weighted_reciprocity(graph) == pytest.approx(2 * 0.2 / 1.6)
    assert communities(graph) == [{"bus", "car", "taxi"}, {"dog", "wolf"}]
    assert row["communities"] == 2 and row["adjusted_rand"] == row["mutual_information"] == 1
    assert row["modularity"] == pytest.approx(1 - (0.6**2 + 1.0**2) / 1.6**2)
    table = strengths(graph).set_index("concept")
    assert table.index[0] == "car" and set(table.index) == {"dog", "wolf", "car", "taxi", "bus"}
    assert table.loc["taxi"].tolist() == pytest.approx([1, 0.3, 1, 0.5])
    assert table.loc["car"].tolist() == pytest.approx([1, 0.5, 1, 0.2])  # the benefit does not count


def test_communities_across_groups_do_not_agree_with_them():
    across = effects(("dog", "car", 0.4), ("car", "dog", 0.4), ("wolf", "taxi", 0.4), ("taxi", "wolf", 0.4))
    row = graph_statistics(concept_graph(across, SOURCE, CONCEPTS)).iloc[0]
    assert row["communities"] == 2 and row["reciprocity"] == row["weighted_reciprocity"] == 1
    assert row["adjusted_rand"] < 0 and row["mutual_information"] == pytest.approx(0)


def test_a_graph_without_damage_says_so():
    graph = concept_graph(effects(("dog", "wolf", 0.01)), SOURCE, CONCEPTS)
    row = graph_statistics(graph).iloc[0]
    assert row["edges"] == row["communities"] == 0 and np.isnan(row["reciprocity"]) and np.isnan(row["modularity"])
    assert strengths(graph).empty and communities(graph) == []


def test_graphml_holds_the_graph(tmp_path):
    graph, path = concept_graph(TWO_KINDS, SOURCE, CONCEPTS), tmp_path / "new" / "graph.graphml"
    write_graphml(graph, path)
    again = nx.read_graphml(path)
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True)) and again.is_directed()
    assert again.adj == graph.adj and again.graph | graph.graph == again.graph
    assert list(path.parent.iterdir()) == [path]


def test_a_graph_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "graph.graphml"
    path.write_text("before")
    monkeypatch.setattr(nx, "write_graphml", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_graphml(nx.DiGraph(), path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_relations():
    assert relation(CONCEPTS, "dog", "hot dog") == "shared word" and relation(CONCEPTS, "wolf", "bus") == "other"
    words = ConceptSet(
        "w", (*CONCEPTS.concepts, Concept("animal", "animal", "animal"), Concept("cab", "x", "y", ("taxi",))), ""
    )
    assert relation(words, "animal", "dog") == "general word"
    assert relation(words, "taxi", "cab") == "synonym"
