//! Who wakes the committer.

use crate::domain::{AllocationId, DecisionId, ExperimentKey, Features, SegmentKey, Slot, Timestamp};
use crate::engine::event::{DecisionRecord, Exposed};
use crate::service::committer::Queue;
use crate::service::committer::channel::*;
use crate::service::counts::moment;

fn event() -> Event {
    Event::ExperimentDeleted { experiment: ExperimentKey::new("hero").expect("a key"), at: Timestamp::from_millis(1) }
}

#[test]
fn who_lingers_is_woken_once_and_by_the_last_of_those_it_waits_for() {
    let (queue, exit) = Queue::bounded(9, Arc::default());
    let _first = queue.submit(event()).expect("room");
    exit.between.enough.store(3, Ordering::SeqCst);
    exit.attend();
    let _second = queue.submit(event()).expect("room");
    assert!(exit.bell.try_recv().is_err(), "one is missing");
    let _third = queue.submit(event()).expect("room");
    assert!(exit.bell.try_recv().is_ok(), "all are there");
    // They are there already: who lingers until the end of time comes back, and is woken by one alone from then on.
    exit.linger(moment() + std::time::Duration::from_secs(1 << 30), 3);
    let _fourth = queue.submit(event()).expect("room");
    assert!(exit.bell.try_recv().is_ok(), "somebody waits");
}

#[test]
fn as_much_is_taken_as_a_batch_has_room_for_and_the_end_is_told_when_all_of_it_is() {
    let (queue, exit) = Queue::bounded(9, Arc::default());
    for _ in 0..5 {
        assert!(queue.offer(event(), None).is_ok());
    }
    let mut batch = Vec::new();
    assert!(!exit.take(&mut batch, 3) && batch.len() == 3);
    queue.stop();
    assert!(!exit.take(&mut batch, 1) && batch.len() == 4, "one is still there");
    assert!(exit.take(&mut batch, 9) && batch.len() == 5);
}

#[test]
fn exposures_wake_nobody_until_enough_are_there_and_whoever_waits_wakes_at_once() {
    let (queue, exit) = Queue::bounded(2 * ENOUGH, Arc::default());
    for _ in 1..ENOUGH {
        assert!(queue.offer(event(), None).is_ok());
    }
    assert!(exit.bell.try_recv().is_err(), "one less than enough");
    assert!(queue.offer(event(), None).is_ok());
    assert!(exit.bell.try_recv().is_ok(), "enough");
    exit.call_at(2 * ENOUGH);
    assert!(queue.offer(event(), None).is_ok());
    assert!(exit.bell.try_recv().is_err(), "more are enough now");
    let (queue, exit) = Queue::bounded(2, Arc::default());
    assert!(queue.submit(event()).is_ok());
    assert!(exit.bell.try_recv().is_ok(), "somebody waits");
}

fn exposed(variation: u16, segment: &str) -> Event {
    let record = DecisionRecord {
        experiment: ExperimentKey::new("hero").expect("a key"),
        epoch: 0,
        definition: 1,
        segment: SegmentKey::new(segment),
        variation: Slot(variation),
        allocation: AllocationId(7),
        propensity: 0.5,
        control: false,
        decision: DecisionId(u128::from(variation)),
        features: Features::new(),
    };
    Event::Exposed(Exposed { record, excluded: Box::default() })
}

fn offer(room: &mut Room<'_>, event: Event) -> Result<(), CommitError> {
    if let Event::Exposed(Exposed { record, excluded }) = &event
        && excluded.is_empty()
    {
        return room.expose(record, None);
    }
    room.offer(event, None)
}

#[test]
fn what_was_promised_room_is_handed_over_together_and_the_end_is_told_after_it() {
    let health = Arc::<Health>::default();
    let (queue, exit) = Queue::bounded(5, Arc::clone(&health));
    assert!(queue.offer(event(), None).is_ok());
    let mut room = queue.room(9);
    assert_eq!(queue.waiting(), 1, "nothing may happen");
    assert!(offer(&mut room, exposed(0, "all")).is_ok());
    assert_eq!(queue.waiting(), 5, "one, and room for four");
    assert!(matches!(queue.offer(event(), None), Err(CommitError::Overloaded)), "all room is promised");
    let taken = (1..9).filter(|variation| offer(&mut room, exposed(*variation, "all")).is_ok()).count();
    assert_eq!(taken, 3);
    queue.stop();
    let mut batch = Vec::new();
    assert!(exit.next(&mut batch, moment()) == Next::Came && batch.len() == 1);
    assert!(exit.next(&mut batch, moment()) == Next::Nothing, "more may come");
    drop(room);
    assert!(exit.next(&mut batch, moment()) == Next::Came && queue.waiting() == 0);
    assert!(exit.next(&mut batch, moment()) == Next::Closed);
    assert_eq!(batch.iter().map(Passing::events).collect::<Vec<_>>(), [1, 4], "what is alike goes as one");
    assert!(matches!(queue.room(1).offer(event(), None), Err(CommitError::Unavailable(_))));
    assert_eq!(health.exposures_lost(), 0);
}

#[test]
fn what_is_not_alike_goes_by_itself_in_the_order_in_which_it_came() {
    let (queue, exit) = Queue::bounded(9, Arc::default());
    let mut room = queue.room(9);
    let mut excluding = exposed(3, "all");
    if let Event::Exposed(exposed) = &mut excluding {
        exposed.excluded = [Slot(0)].into();
    }
    let wanted = [exposed(0, "all"), exposed(1, "all"), exposed(2, "other"), excluding, event(), exposed(4, "other")];
    for event in wanted.clone() {
        assert!(offer(&mut room, event).is_ok());
    }
    drop(room);
    let mut batch = Vec::new();
    assert!(!exit.take(&mut batch, 9));
    assert_eq!(batch.iter().map(Passing::events).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    let mut found = Vec::new();
    for passing in batch {
        match passing {
            Passing::One(waiting) => found.push(waiting.event),
            Passing::Exposures(exposures) => exposures.for_each(|record, _| {
                found.push(Event::Exposed(Exposed { record: record.clone(), excluded: Box::default() }));
            }),
        }
    }
    assert_eq!(found, wanted);
}

#[test]
fn room_that_is_not_needed_is_given_back_and_what_finds_nobody_is_counted() {
    let health = Arc::<Health>::default();
    let (queue, exit) = Queue::bounded(5, Arc::clone(&health));
    let mut room = queue.room(3);
    assert!(room.offer(event(), None).is_ok());
    drop(room);
    assert_eq!(queue.waiting(), 1);
    let mut batch = Vec::new();
    assert!(!exit.take(&mut batch, 9) && batch.len() == 1 && queue.waiting() == 0);
    let mut room = queue.room(3);
    for event in [exposed(0, "all"), exposed(1, "all"), exposed(2, "other")] {
        assert!(offer(&mut room, event).is_ok());
    }
    drop(exit);
    drop(room);
    assert_eq!((health.exposures_lost(), queue.waiting()), (3, 0));
    assert!(matches!(queue.offer(event(), None), Err(CommitError::Unavailable(_))));
}

#[test]
fn a_background_thread_waits_for_room_and_is_told_where_there_will_be_none() {
    let (queue, exit) = Queue::bounded(1, Arc::default());
    let fill = || assert!(queue.offer(event(), None).is_ok());
    fill();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| queue.push(event()));
        let mut batch = Vec::new();
        while batch.len() < 2 {
            exit.take(&mut batch, 1);
        }
        assert!(pushing.join().expect("no panic"));
        fill();
        let pushing = scope.spawn(|| queue.push(event()));
        drop(exit);
        assert!(!pushing.join().expect("no panic"));
    });
}
