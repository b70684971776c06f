//! An R-tree made at once, as the nodes that SQLite keeps it in.
//!
//! SQLite builds an R-tree row by row, which takes longer than writing the rows. Here entries are sorted into tiles (sort-tile-recursive
//! packing: by x into slices, within each by y) and written as full nodes.
//!
//! Source: SQLite, `ext/rtree/rtree.c`, "Database Format of R-Tree Tables". A node is big endian: two bytes of depth (of the root, else
//! 0), two bytes with the number of cells, then the cells of eight bytes id and four floats xmin, xmax, ymin, ymax; a leaf's ids are
//! rows, the others' are nodes. The root is node 1. Two more tables tell the leaf of each row and the parent of each node.

use crate::foreign_sqlite::quoted;
use rusqlite::{CachedStatement, Connection, params};

/// Bytes before the cells of a node, and of a cell.
const HEAD: usize = 4;
const CELL: usize = 24;
const ROOT: i64 = 1;

/// The envelope of a row or node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) id: i64,
    /// xmin, xmax, ymin, ymax.
    pub(super) reach: [f32; 4],
}

impl Entry {
    /// The entry of `[xmin, ymin, xmax, ymax]`, rounded outwards.
    pub(super) fn of(id: i64, [xmin, ymin, xmax, ymax]: [f64; 4]) -> Self {
        Self { id, reach: [down(xmin), up(xmax), down(ymin), up(ymax)] }
    }

    fn around(entries: &[Self], id: i64) -> Self {
        let first = entries.first().map_or([0.0; 4], |e| e.reach);
        let wider =
            |[a, b, c, d]: [f32; 4], e: &Self| [a.min(e.reach[0]), b.max(e.reach[1]), c.min(e.reach[2]), d.max(e.reach[3])];
        Self { id, reach: entries.iter().fold(first, wider) }
    }

    fn middle(&self, axis: usize) -> f32 {
        self.reach[axis * 2] / 2.0 + self.reach[axis * 2 + 1] / 2.0
    }
}

fn down(n: f64) -> f32 {
    // The cast goes to the nearest float, which may be above.
    let near = n as f32;
    if f64::from(near) > n { near.next_down() } else { near }
}

fn up(n: f64) -> f32 {
    let near = n as f32;
    if f64::from(near) < n { near.next_up() } else { near }
}

/// Builds the R-tree of one table, which was made and is empty.
pub(super) struct Builder<'a> {
    add_node: CachedStatement<'a>,
    add_row: CachedStatement<'a>,
    add_parent: CachedStatement<'a>,
    node_size: usize,
    next_node: i64,
    /// The leaves.
    level: Vec<Entry>,
    node: Vec<u8>,
    leaf_of: Vec<(i64, i64)>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(connection: &'a Connection, index: &str) -> rusqlite::Result<Self> {
        let table = |name: &str| quoted(&format!("{index}_{name}"));
        let size = format!("SELECT length(data) FROM {} WHERE nodeno = 1", table("node"));
        let node_size: i64 = connection.query_row(&size, [], |row| row.get(0))?;
        let prepare = |sql: String| connection.prepare_cached(&sql);
        Ok(Self {
            add_node: prepare(format!("INSERT OR REPLACE INTO {} (nodeno, data) VALUES (?1, ?2)", table("node")))?,
            add_row: prepare(format!("INSERT INTO {} (rowid, nodeno) VALUES (?1, ?2)", table("rowid")))?,
            add_parent: prepare(format!("INSERT INTO {} (nodeno, parentnode) VALUES (?1, ?2)", table("parent")))?,
            node_size: usize::try_from(node_size).unwrap_or(0).max(HEAD + CELL),
            next_node: ROOT + 1,
            level: Vec::new(),
            node: Vec::new(),
            leaf_of: Vec::new(),
        })
    }

    fn cells_of_a_node(&self) -> usize {
        (self.node_size - HEAD) / CELL
    }

    fn write_node(&mut self, number: i64, depth: u16, entries: &[Entry]) -> rusqlite::Result<()> {
        self.node.clear();
        self.node.extend_from_slice(&depth.to_be_bytes());
        self.node.extend_from_slice(&u16::try_from(entries.len()).unwrap_or(u16::MAX).to_be_bytes());
        for entry in entries {
            self.node.extend_from_slice(&entry.id.to_be_bytes());
            entry.reach.iter().for_each(|n| self.node.extend_from_slice(&n.to_be_bytes()));
        }
        self.node.resize(self.node_size, 0);
        self.add_node.execute(params![number, self.node])?;
        Ok(())
    }

    /// Adds rows, as many as memory may hold. `is_all` says that no others come.
    pub(super) fn add(&mut self, entries: &mut [Entry], is_all: bool) -> rusqlite::Result<()> {
        let cells = self.cells_of_a_node();
        self.leaf_of.clear();
        if is_all && self.level.is_empty() && entries.len() <= cells {
            self.leaf_of.extend(entries.iter().map(|e| (e.id, ROOT)));
            self.write_node(ROOT, 0, entries)?;
        } else {
            pack(entries, cells);
            for leaf in entries.chunks(cells) {
                let number = self.next_node;
                self.next_node += 1;
                self.write_node(number, 0, leaf)?;
                self.level.push(Entry::around(leaf, number));
                self.leaf_of.extend(leaf.iter().map(|e| (e.id, number)));
            }
        }
        self.leaf_of.sort_unstable();
        for (row, leaf) in &self.leaf_of {
            self.add_row.execute(params![row, leaf])?;
        }
        Ok(())
    }

    /// Adds the nodes above the leaves.
    pub(super) fn complete(mut self) -> rusqlite::Result<()> {
        let cells = self.cells_of_a_node();
        let mut depth = 0;
        while !self.level.is_empty() {
            depth += 1;
            let mut level = std::mem::take(&mut self.level);
            if level.len() <= cells {
                for child in &level {
                    self.add_parent.execute(params![child.id, ROOT])?;
                }
                return self.write_node(ROOT, depth, &level);
            }
            pack(&mut level, cells);
            for children in level.chunks(cells) {
                let number = self.next_node;
                self.next_node += 1;
                self.write_node(number, 0, children)?;
                self.level.push(Entry::around(children, number));
                for child in children {
                    self.add_parent.execute(params![child.id, number])?;
                }
            }
        }
        Ok(())
    }
}

/// Sorts entries so that `cells` of them, one after the other, lie close together.
fn pack(entries: &mut [Entry], cells: usize) {
    let by = |axis: usize| move |a: &Entry, b: &Entry| a.middle(axis).total_cmp(&b.middle(axis)).then(a.id.cmp(&b.id));
    entries.sort_unstable_by(by(0));
    let nodes = entries.len().div_ceil(cells);
    // As many slices as each has nodes.
    let slices = (1..).find(|n| n * n >= nodes).unwrap_or(1).max(1);
    for slice in entries.chunks_mut((nodes.div_ceil(slices) * cells).max(1)) {
        slice.sort_unstable_by(by(1));
    }
}
