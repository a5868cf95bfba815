//! A process of the simulated cloud: its tasks, all of which end at one moment with nobody told, as
//! under `kill -9`.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

pub struct Process {
    tasks: Rc<RefCell<Option<LocalSet>>>,
    /// Runs them.
    pump: JoinHandle<()>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Process {
    pub fn begin() -> Process {
        let tasks = Rc::new(RefCell::new(Some(LocalSet::new())));
        let of_pump = tasks.clone();
        let pump = poll_fn(move |context| {
            // One without tasks waits for more of them.
            if let Some(tasks) = of_pump.borrow_mut().as_mut() {
                let _ = Pin::new(tasks).poll(context);
            }
            Poll::Pending
        });
        Process { tasks, pump: spawn_local(pump) }
    }

    /// What is begun meanwhile is among the tasks of this process. Not to be called by one of them.
    pub fn within<R>(&self, act: impl FnOnce() -> R) -> R {
        let tasks = self.tasks.borrow();
        let _entered = tasks.as_ref().expect("it has not ended").enter();
        act()
    }

    /// Drops the task if the process has ended.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(tasks) = &*self.tasks.borrow() {
            tasks.spawn_local(task);
        }
    }

    /// At once. Not to be called by one of its tasks.
    pub fn end(&self) {
        self.pump.abort();
        // Not while it is borrowed: tasks that end may look for their process.
        let tasks = self.tasks.borrow_mut().take();
        drop(tasks);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, time::Duration};
    use tokio::time::sleep;

    #[test]
    fn a_process_that_has_ended_does_nothing_any_more() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let count = Rc::new(Cell::new(0));
            let process = Process::begin();
            let counted = count.clone();
            process.spawn(async move {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    counted.set(counted.get() + 1);
                }
            });
            sleep(Duration::from_millis(2500)).await;
            process.end();
            sleep(Duration::from_secs(60)).await;
            assert_eq!(count.get(), 2);
            assert_eq!(Rc::strong_count(&count), 1);
        });
    }
}
