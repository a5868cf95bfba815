//! Certificates that renew themselves.
//!
//! When a certificate's renewal is due a next one is asked for, written down by whoever keeps it,
//! and only then used: a process that restarts in between goes on with the one it has, which is
//! still good. What fails is tried again, and again, until the last day and beyond it.

use super::{
    Clock,
    backoff::Backoff,
    credentials::{Credentials, CurrentCredentials},
};
use std::{fmt, future::Future, time::Duration};
use tokio::time::sleep;

/// A clock may jump, so it is looked at more often than there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(600);
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(3600);

pub struct Renewal {
    pub credentials: CurrentCredentials,
    pub clock: Clock,
    /// Of the jitter in the pauses after a failure.
    pub seed: u64,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Renewal({:?})", self.credentials.get())
    }
}

impl Renewal {
    /// Renews for as long as this is polled. `renew` gets the next credentials (`join::renew`, or
    /// the authority itself where it is at hand), `keep` makes them durable.
    pub async fn go_on<F, E>(
        self,
        renew: impl Fn() -> F,
        keep: impl Fn(&Credentials) -> Result<(), E>,
    ) where
        F: Future<Output = Result<Credentials, E>>,
        E: std::error::Error,
    {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, self.seed);
        loop {
            let until_due = self.credentials.get().renew_at().duration_since((self.clock)());
            if let Ok(wait) = until_due
                && !wait.is_zero()
            {
                sleep(wait.min(LOOK_EVERY)).await;
                continue;
            }
            match renew().await.and_then(|next| keep(&next).map(|()| next)) {
                Ok(next) => {
                    log::info!("the certificate of `{}` was renewed", next.own().identity);
                    self.credentials.replace(next);
                    backoff.reset();
                }
                Err(fault) => {
                    let own = self.credentials.get();
                    log::warn!(
                        "the certificate of `{}` cannot be renewed: {fault}",
                        own.own().identity
                    );
                    sleep(backoff.pause()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{authority::Authority, identity::Identity},
        *,
    };
    use std::{
        cell::{Cell, RefCell},
        convert::Infallible,
        io,
        sync::Arc,
        time::SystemTime,
    };
    use tokio::time::{Instant, timeout};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Setting {
        authority: Authority,
        identity: Identity,
        clock: Clock,
    }

    impl Setting {
        fn new() -> Setting {
            let begun = Instant::now();
            let clock: Clock =
                Arc::new(move || SystemTime::UNIX_EPOCH + 20_000 * DAY + begun.elapsed());
            let authority = Authority::create("lab", clock()).unwrap();
            let identity = Identity::cloud_manager("lab", "c1").unwrap();
            Setting { authority, identity, clock }
        }

        fn issue(&self) -> Credentials {
            let now = (self.clock)();
            Credentials::issued_by(&self.authority, &self.identity, now, 30 * DAY).unwrap()
        }

        fn renewal(&self) -> (Renewal, CurrentCredentials) {
            let credentials = CurrentCredentials::new(self.issue());
            let renewal =
                Renewal { credentials: credentials.clone(), clock: self.clock.clone(), seed: 1 };
            (renewal, credentials)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_year_a_certificate_is_renewed_each_time_a_third_of_it_remains() {
        let setting = Setting::new();
        let (renewal, current) = setting.renewal();
        let renewed = Cell::new(0);
        let going_on = renewal.go_on(
            || async {
                let left = current.get().own().valid_until.duration_since((setting.clock)());
                assert!(left.unwrap() > 9 * DAY);
                renewed.set(renewed.get() + 1);
                Ok::<_, Infallible>(setting.issue())
            },
            |_| Ok(()),
        );
        timeout(365 * DAY, going_on).await.unwrap_err();
        assert_eq!(renewed.get(), 18);
        assert!(current.get().own().valid_until > (setting.clock)());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_renewed_is_tried_again_and_what_cannot_be_kept_not_used() {
        let setting = Setting::new();
        let (renewal, current) = setting.renewal();
        let first = current.get().own().clone();
        let tries = Cell::new(0);
        let kept = RefCell::new(Vec::new());
        let going_on = renewal.go_on(
            || async {
                tries.set(tries.get() + 1);
                match tries.get() {
                    1..=3 => Err(io::Error::other("the parent is away")),
                    _ => Ok(setting.issue()),
                }
            },
            |next| {
                assert_eq!(*current.get().own(), first, "not used before it is kept");
                if tries.get() < 6 {
                    return Err(io::Error::other("the disk is full"));
                }
                kept.borrow_mut().push(next.own().clone());
                Ok(())
            },
        );
        timeout(21 * DAY, going_on).await.unwrap_err();
        assert_eq!(tries.get(), 6);
        assert_eq!(*kept.borrow(), [current.get().own().clone()]);
    }
}
