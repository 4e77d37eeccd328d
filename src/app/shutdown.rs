//! The end of the process, as streams and jobs see it.

use tokio::sync::watch;

/// Whether the process has begun to stop.
#[derive(Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Begins it: open streams end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it has begun.
    pub async fn begun(&self) {
        let mut begun = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = begun.wait_for(|begun| *begun).await;
    }
}
