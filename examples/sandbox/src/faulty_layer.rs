//! A layer of the sandbox under the fault matrix of the engine.

use crate::fault::Fault;
use crate::sandbox::Sandbox;
use offmap_engine::testing::{FaultAction, FaultEnds, FaultRow, FaultStep, FaultyService, without_credentials};

/// A layer of the sandbox under the fault matrix.
#[derive(Debug)]
pub struct FaultyLayer<'a> {
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// The steps of the layer's way, by parts of their paths in lower case.
    pub steps: Vec<FaultStep>,
    /// Cells that end otherwise here than the row states.
    pub other_ends: fn(&FaultStep, &FaultRow) -> Option<FaultEnds>,
}

impl<'a> FaultyLayer<'a> {
    /// A layer that is asked for without credentials: there is no token to renew.
    #[must_use]
    pub fn without_credentials(sandbox: &'a Sandbox, steps: Vec<FaultStep>) -> Self {
        Self { sandbox, steps, other_ends: without_credentials }
    }
}

impl FaultyService for FaultyLayer<'_> {
    fn steps(&self) -> Vec<FaultStep> {
        self.steps.clone()
    }

    fn break_step(&self, step: &FaultStep, action: FaultAction, times: Option<u32>) {
        self.sandbox.fault(Fault { times, ..Fault::always_at(&step.name, action) });
    }

    fn heal(&self) {
        self.sandbox.heal();
    }

    fn other_ends(&self, step: &FaultStep, row: &FaultRow) -> Option<FaultEnds> {
        (self.other_ends)(step, row)
    }

    fn leaked_tokens(&self) -> usize {
        let own = self.sandbox.url().split("://").nth(1).unwrap_or_default();
        self.sandbox.requests().iter().filter(|r| r.has_token && r.host != own).count()
    }
}
