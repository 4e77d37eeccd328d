#![allow(clippy::unwrap_used, reason = "tests may panic")]

use uuid::Uuid;

use super::*;
use crate::{app::shares::Shares, models::PrincipalId};

const MIB: usize = 1024 * 1024;

fn share(shares: &Shares, owner: u128) -> Arc<Share> {
    shares.of(PrincipalId(Uuid::from_u128(owner)))
}

fn answer(answers: &Answers, share: &Arc<Share>, bytes: usize) -> Result<Bytes> {
    answers.hold(Holder { share, is_exempt: false }, None, vec![7; bytes].into(), true)
}

#[test]
fn an_owner_holds_its_part_until_the_last_piece_has_gone_and_leaves_room_for_others() {
    let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
    let (one, other) = (share(&shares, 1), share(&shares, 2));
    let mut held: Vec<Bytes> = (0..2).map(|_| answer(&answers, &one, 4 * MIB).unwrap()).collect();
    assert!(answer(&answers, &one, 1).is_err());
    assert!(answer(&answers, &other, MIB).is_ok());
    // A piece keeps the whole answer counted.
    let mut whole = held.pop().unwrap();
    let piece = whole.split_to(10);
    drop(whole);
    assert!(answer(&answers, &one, 1).is_err());
    drop(piece);
    assert!(answer(&answers, &one, MIB).is_ok());
    drop(held);
    assert_eq!((answers.0.all.load(SeqCst), one.used(Use::Bytes)), (0, 0));
}

#[test]
fn few_owners_never_take_everything() {
    let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
    let mut held = Vec::new();
    for owner in 1..=8 {
        let share = share(&shares, owner);
        while let Ok(data) = answer(&answers, &share, MIB) {
            held.push(data);
        }
    }
    assert!(answers.is_pressed());
    assert!(held.len() <= 40, "{}", held.len());
    assert!(answer(&answers, &share(&shares, 9), 3 * MIB).is_ok(), "an owner that holds nothing gets an answer");
}

#[test]
fn what_is_done_is_told_and_counted_whatever_is_held() {
    let (shares, answers) = (Shares::default(), Answers::new(MIB, MIB));
    let one = share(&shares, 1);
    let holder = Holder { share: &one, is_exempt: false };
    let held = answer(&answers, &one, MIB).unwrap();
    assert!(answers.has_room(holder).is_err());
    assert!(answers.hold(holder, None, vec![7; 100].into(), false).is_ok());
    drop(held);
    assert!(answers.has_room(holder).is_ok());
    assert_eq!(answers.0.all.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn large_answers_are_made_one_after_the_other_and_nobody_waits_for_ever() {
    let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
    let (one, other) = (share(&shares, 1), share(&shares, 2));
    let holder = Holder { share: &one, is_exempt: false };
    assert!(answers.turn_now(holder, 12 * MIB).is_some(), "nothing is held");
    let first = answers.turn(holder, 12 * MIB).await.unwrap();
    assert!(answers.turn_now(holder, 12 * MIB).is_none());
    assert!(matches!(answers.turn(holder, 12 * MIB).await, Err(Error::Overloaded)));
    let others = answers.turn(Holder { share: &other, is_exempt: false }, 12 * MIB).await.unwrap();
    let (second, data) = tokio::join!(answers.turn(holder, 2 * MIB), async {
        answers.hold(holder, Some(first), vec![7; 3 * MIB].into(), true).unwrap()
    });
    assert_eq!(second.unwrap().used.amount(), 2 * MIB);
    drop((data, others));
    assert_eq!((answers.0.all.load(SeqCst), answers.0.making.load(SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_an_owner_that_holds_its_limit_and_calls_that_ended_are_passed_over() {
    let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
    let (one, other) = (share(&shares, 1), share(&shares, 2));
    let holder = Holder { share: &one, is_exempt: false };
    let first = answers.turn(holder, 8 * MIB).await.unwrap();
    let mut ended = Box::pin(answers.turn(holder, 8 * MIB));
    let mut waiting = Box::pin(answers.turn(holder, 8 * MIB));
    assert!(now(&mut ended).await.is_none() && now(&mut waiting).await.is_none());
    assert!(answers.turn(Holder { share: &other, is_exempt: false }, 8 * MIB).await.is_ok());
    drop(ended);
    drop(first);
    assert!(now(&mut waiting).await.unwrap().is_ok());
    assert_eq!((answers.0.waiting.load(SeqCst), answers.0.all.load(SeqCst)), (0, 0));
}

/// The output of a future that need not wait.
async fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}
