//! Many calls at once, few at first.

use futures::future::join_all;
use std::future::Future;

/// Calls `f` `count` times: once, then twice as many at a time as before, until one fails. Answers how many succeeded,
/// and the first failure. A quota that lets nothing through is thus asked once, not a hundred times.
pub async fn slow_start<F, Fut, E>(count: usize, f: F) -> (usize, Option<E>)
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let (mut done, mut size) = (0, 1);
    while done < count {
        let n = size.min(count - done);
        let results = join_all((done..done + n).map(&f)).await;
        let mut error = None;
        for r in results {
            match r {
                Ok(()) => done += 1,
                Err(e) => error = error.or(Some(e)),
            }
        }
        if error.is_some() {
            return (done, error);
        }
        size *= 2;
    }
    (done, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test]
    async fn doubles_until_it_fails() {
        let calls = RefCell::new(Vec::new());
        let run = async |fail_at: usize| {
            calls.borrow_mut().clear();
            let r = slow_start(10, |i| {
                calls.borrow_mut().push(i);
                async move { if i == fail_at { Err("no") } else { Ok(()) } }
            })
            .await;
            (r, calls.borrow().len())
        };
        assert_eq!(run(99).await, ((10, None), 10));
        assert_eq!(run(0).await, ((0, Some("no")), 1));
        assert_eq!(run(4).await, ((6, Some("no")), 7));
    }
}
