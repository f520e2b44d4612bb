//! Parts that all steps of a run use.

use super::display::BulkDisplay;
use super::patience::Patience;
use super::run_state::RunFolder;
use crate::client::GatewayClient;

/// Gateway, folder and display of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunContext<'a> {
    /// Client of the gateway.
    pub(super) client: &'a GatewayClient,
    /// Time for a gateway that does not answer.
    pub(super) patience: &'a Patience<'a>,
    /// Progress on standard error.
    pub(super) display: &'a BulkDisplay,
    /// Folder of the results.
    pub(super) folder: &'a RunFolder,
}
