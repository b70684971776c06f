//! The submission of a job.

use super::task::{ResultOf, ServerTask, Submission};
use crate::client::ArcGisClient;
use crate::transport::{Pauses, Retries};
use crate::urls::parse_http;
use offmap_model::{Failure, FailureKind, TaskControl};
use std::time::Duration;

/// After a cancel, how long a submission may go on, so that what it started is known and can be removed.
const CANCEL_GRACE: Duration = Duration::from_millis(700);

/// Submits a job. A submission of which nobody knows what became is repeated, after what it may have made was removed.
pub(super) async fn submit<T: ServerTask>(
    client: &ArcGisClient,
    control: &dyn TaskControl,
    task: &T,
) -> Result<Submission<ResultOf<T>>, Failure> {
    let url = parse_http(task.service_url())?;
    let mut retries = Retries::new(Pauses::Long);
    loop {
        let failure = match until_cancelled(control, task.submit()).await {
            Err(failure) if is_unknown(&failure) => failure,
            ended => return ended,
        };
        let pause = {
            let context = client.transport().retry_context();
            match retries.after_failure(&context, &url, &failure) {
                Some(pause) => pause,
                None => return Err(retries.explain(&context, failure)),
            }
        };
        control.log(format!("the answer was lost ({failure}); submitted again"));
        let clock = client.clock();
        tokio::select! {
            biased;
            () = control.cancel_token().cancelled() => return Err(Failure::cancelled()),
            () = clock.sleep(pause) => {}
        }
        task.remove_submitted().await?;
    }
}

/// Whether nobody knows what became of a submission: the connection broke before its answer, what stands before the service answered
/// in its place (502, 503, 504, a page), or the service failed while it worked on it (500). A service that asks to come back later
/// did not begin.
fn is_unknown(failure: &Failure) -> bool {
    failure.retryable && failure.kind != FailureKind::Throttled
}

/// Runs a request that starts something on a service until it ends, or the job was cancelled and its grace is over. The grace bounds
/// a request that is on its way, so it is the machine's time, as the time-outs of sockets are.
async fn until_cancelled<T>(
    control: &dyn TaskControl,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    let cancel = control.cancel_token();
    if cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let over = async {
        cancel.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        biased;
        result = work => result,
        () = over => Err(Failure::cancelled()),
    }
}
