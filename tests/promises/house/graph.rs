//! Circles and levels of a graph.

use super::arrows::Arrow;
use std::collections::{BTreeMap, BTreeSet};

/// What each node points to.
pub(super) type Edges = BTreeMap<usize, BTreeSet<usize>>;

pub(super) fn edges<'a>(arrows: impl IntoIterator<Item = &'a Arrow>) -> Edges {
    let mut edges = Edges::new();
    for arrow in arrows {
        edges.entry(arrow.from).or_default().insert(arrow.to);
        edges.entry(arrow.to).or_default();
    }
    edges
}

/// Sets of nodes from each of which every other can be reached, those of one node included. What a set points to comes
/// before it.
pub(super) fn components(edges: &Edges) -> Vec<Vec<usize>> {
    let mut search = Search { edges, order: BTreeMap::new(), low: BTreeMap::new(), stack: Vec::new(), found: Vec::new() };
    for node in edges.keys() {
        if !search.order.contains_key(node) {
            search.visit(*node);
        }
    }
    search.found
}

/// Sets of two nodes or more.
pub(super) fn circles(edges: &Edges) -> Vec<Vec<usize>> {
    components(edges).into_iter().filter(|set| set.len() > 1).collect()
}

/// Tarjan's search.
struct Search<'a> {
    edges: &'a Edges,
    order: BTreeMap<usize, usize>,
    low: BTreeMap<usize, usize>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&mut self, node: usize) {
        let number = self.order.len();
        self.order.insert(node, number);
        self.low.insert(node, number);
        self.stack.push(node);
        for next in &self.edges[&node] {
            if !self.order.contains_key(next) {
                self.visit(*next);
                self.lower(node, self.low[next]);
            } else if self.stack.contains(next) {
                self.lower(node, self.order[next]);
            }
        }
        if self.low[&node] == number {
            let start = self.stack.iter().position(|n| *n == node).expect("the node is on the stack");
            let mut set = self.stack.split_off(start);
            set.sort_unstable();
            self.found.push(set);
        }
    }

    fn lower(&mut self, node: usize, to: usize) {
        let low = self.low.entry(node).or_insert(to);
        *low = (*low).min(to);
    }
}

/// One above the highest of what a node points to; nodes of one circle share a level.
pub(super) fn levels(edges: &Edges) -> BTreeMap<usize, usize> {
    let mut levels: BTreeMap<usize, usize> = BTreeMap::new();
    for set in components(edges) {
        let below = set.iter().flat_map(|node| &edges[node]).filter_map(|to| levels.get(to)).max();
        let level = below.copied().unwrap_or(0) + 1;
        levels.extend(set.into_iter().map(|node| (node, level)));
    }
    levels
}

/// A shortest way from a node back to itself.
pub(super) fn shortest_circle(edges: &Edges, set: &[usize]) -> Vec<usize> {
    set.iter().filter_map(|start| way_back(edges, *start)).min_by_key(Vec::len).unwrap_or_default()
}

fn way_back(edges: &Edges, start: usize) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = std::collections::VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        for next in &edges[&node] {
            if *next == start {
                let mut way = vec![node];
                while let Some(last) = way.last().filter(|n| **n != start) {
                    way.push(before[last]);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(*next, node);
                waiting.push_back(*next);
            }
        }
    }
    None
}
