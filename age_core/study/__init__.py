"""Side effects of many erasures: tables, the graph, statistics, prediction, robustness."""
