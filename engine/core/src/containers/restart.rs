//! When a container that ended is started again: Docker's rule.
//!
//! The pause before the first restart is 100 ms; each further one doubles it, up to a minute. A run of 10 s or more starts
//! from 100 ms again.

use std::time::Duration;

use crate::model::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// Nanoseconds of a run that counts as a success.
const LONG_RUN: i128 = 10_000_000_000;

/// The pauses.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
    /// Number of the restart that is waited for; an older timer's end means nothing.
    pub attempt: u64,
}

impl Backoff {
    /// The pause after a run of so many nanoseconds.
    pub(crate) fn after(&mut self, ran: i128) -> Duration {
        let pause = match self.last {
            Some(last) if ran < LONG_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(pause);
        self.attempt += 1;
        pause
    }

    /// A start by hand begins anew.
    pub(crate) fn reset(&mut self) {
        self.last = None;
        self.attempt += 1;
    }
}

/// Whether the policy wants another run after an end with this code.
pub(crate) fn again(policy: RestartPolicy, code: i32, count: u32, stopped_by_hand: bool) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !stopped_by_hand,
        RestartPolicy::OnFailure(most) => code != 0 && (most == 0 || count < most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_start_anew_after_a_long_run() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..11).map(|_| backoff.after(0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000]);
        assert_eq!(backoff.after(LONG_RUN), FIRST);
    }

    #[test]
    fn policies() {
        use RestartPolicy as P;
        assert!(again(P::Always, 0, 9, true) && !again(P::No, 1, 0, false));
        assert!(again(P::UnlessStopped, 0, 0, false) && !again(P::UnlessStopped, 0, 0, true));
        assert!(again(P::OnFailure(2), 1, 1, false) && !again(P::OnFailure(2), 1, 2, false));
        assert!(again(P::OnFailure(0), 1, 99, false) && !again(P::OnFailure(0), 0, 0, false));
    }
}
