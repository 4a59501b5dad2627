"""The concept graph: concepts as nodes, clear side effects as edges, and what networkx's algorithms read from it."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pandas as pd
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from age_core.concepts.concept_set import ConceptSet
from age_core.files import disk_errors, replacing
from age_core.study.labels import label_of
from age_core.study.tables import SideEffects, Source


def relation(concepts: ConceptSet, erased: str, affected: str) -> str:
    """How two words belong together: "synonym", "general word", "shared word", "same group" or "other"."""
    one, two = concepts.find(erased), concepts.find(affected)
    if affected in one.synonyms or erased in two.synonyms:
        return "synonym"
    if affected in (one.general, one.group) or erased in (two.general, two.group):
        return "general word"
    if set(erased.lower().split()) & set(affected.lower().split()):
        return "shared word"
    return "same group" if one.group == two.group else "other"


def concept_graph(effects: SideEffects, source: Source, concepts: ConceptSet) -> nx.DiGraph:
    """A node a concept (attribute group), an edge a clear damage or benefit, from the erased to the affected.

    Edges carry delta, low, high and relation, the graph its method (label), metric and noise floor: plain values, fit
    for a file. Raises AgeError where nothing was measured by the source, or for concepts that the set lacks.
    """
    method, metric = source
    graph = nx.DiGraph(method=label_of(method), metric=metric, floor=effects.floor(source).value)
    graph.add_nodes_from((concept.name, {"group": concept.group}) for concept in concepts)
    pairs = effects.pairs(source)
    for row in pairs[pairs["clear"]].itertuples():
        erased, affected = str(row.erased), str(row.affected)
        size = {"delta": float(row.delta), "low": float(row.low), "high": float(row.high)}
        graph.add_edge(erased, affected, **size, relation=relation(concepts, erased, affected))
    return graph


def damage_graph(graph: nx.DiGraph) -> nx.DiGraph:
    """Its damages alone, without benefits and without concepts that neither do nor take damage."""
    return nx.DiGraph(graph.edge_subgraph([(a, b) for a, b, delta in graph.edges(data="delta") if delta > 0]))


def weighted_reciprocity(graph: nx.DiGraph) -> float:
    """Share of all damage that is paid back: sum min(D_ij, D_ji) over both ways, of sum D_ij; nan without damage."""
    damage = damage_graph(graph)
    total = damage.size(weight="delta")
    paid_back = sum(
        min(delta, damage.edges[b, a]["delta"]) for a, b, delta in damage.edges(data="delta") if damage.has_edge(b, a)
    )
    return float(paid_back / total) if total else float("nan")


def communities(graph: nx.DiGraph, seed: int = 0) -> list[set[str]]:
    """Concepts that damage one another more than others (Louvain's method), the largest first."""
    parts = nx.community.louvain_communities(damage_graph(graph), weight="delta", seed=seed)
    return sorted(parts, key=lambda part: (-len(part), min(part, default="")))


def graph_statistics(graph: nx.DiGraph) -> pd.DataFrame:
    """One row: edges, reciprocity, weighted_reciprocity, communities, modularity, adjusted_rand, mutual_information.

    reciprocity: share of edges whose reverse is there, too. adjusted_rand and mutual_information say how well the
    communities agree with the set's groups: 1 exactly, 0 as by chance (mutual information: normalised, above 0 by
    chance). All nan where there is no damage.
    """
    damage, parts = damage_graph(graph), communities(graph)
    row = {"edges": graph.number_of_edges(), "damages": damage.number_of_edges(), "communities": len(parts)}
    shares = dict.fromkeys(("reciprocity", "weighted_reciprocity", "modularity", "adjusted_rand", "mutual_information"))
    if damage.number_of_edges():
        place = {name: number for number, part in enumerate(parts) for name in part}
        groups, numbers = [graph.nodes[name]["group"] for name in place], list(place.values())
        shares = {
            "reciprocity": nx.overall_reciprocity(damage),
            "weighted_reciprocity": weighted_reciprocity(graph),
            "modularity": nx.community.modularity(damage, parts, weight="delta"),
            "adjusted_rand": adjusted_rand_score(groups, numbers),
            "mutual_information": normalized_mutual_info_score(groups, numbers),
        }
    return pd.DataFrame([row | shares]).astype(dict.fromkeys(shares, float))


def strengths(graph: nx.DiGraph) -> pd.DataFrame:
    """A row a concept that does or takes damage: concept, harms, harm, hurt_by, hurt; who harms most first.

    harms and hurt_by are numbers of clear damages (degrees), harm and hurt their sums (strengths).
    """
    damage = damage_graph(graph)
    columns = {
        "harms": damage.out_degree(),
        "harm": damage.out_degree(weight="delta"),
        "hurt_by": damage.in_degree(),
        "hurt": damage.in_degree(weight="delta"),
    }
    table = pd.DataFrame({"concept": list(damage)} | {name: dict(view).values() for name, view in columns.items()})
    return table.sort_values(["harm", "concept"], ascending=[False, True], ignore_index=True)


def write_graphml(graph: nx.DiGraph, path: Path) -> None:
    """As GraphML, which Gephi, Cytoscape and networkx read; whole or not at all. Raises RunFailed on a full disk."""
    with disk_errors(f"The graph {path.name!r}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            nx.write_graphml(graph, temporary)
