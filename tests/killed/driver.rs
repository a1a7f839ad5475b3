//! Several clients ask a service for random changes, each one at a time, until it is killed; then it is started again and
//! compared with what the clients know.
//!
//! A client that was answered knows that its change happened. One that was not knows that it happened or not, as a whole.
//! Clients change things of their own, so that what each must find is known exactly; what they share is checked by the
//! service's own invariants.

use crate::harness::random::Random;
use std::fmt::Debug;
use std::time::Duration;

/// A service that is killed.
pub trait Service: Sized {
    /// What one client changed, as the model has it and as it is found.
    type State: Clone + Default + PartialEq + Debug + Send + 'static;
    /// A change that a client asks for.
    type Change: Clone + Debug + Send + 'static;
    /// A connection of one client.
    type Client: Client<Self::Change> + Send + 'static;
    /// The longest time until a kill, in microseconds: about as long as some dozens of changes take.
    const LONGEST_LIFE: u64 = 60_000;

    /// Starts it and waits until it can be asked; none if it did not come up.
    fn start(&mut self) -> bool;
    /// Starts it and does not wait.
    fn launch(&mut self);
    /// Kills it.
    fn kill(&mut self);
    /// A connection for client number `client`.
    fn connect(&self, client: usize) -> Self::Client;
    /// What is found for each of `clients`, or which invariant does not hold.
    fn observe(&self, clients: usize) -> Result<Vec<Self::State>, String>;
    /// Draws the next change of a client in this state.
    fn draw(client: usize, state: &Self::State, random: &mut Random) -> Self::Change;
    /// What the change makes of the state.
    fn apply(state: &mut Self::State, change: &Self::Change);
    /// How many changes a state has seen, to tell what was lost from what is wrong in another way.
    fn age(state: &Self::State) -> u64;
}

/// A connection of one client.
pub trait Client<Change> {
    /// Asks for `change` and waits for the answer; false if none comes any more.
    fn ask(&mut self, change: &Change) -> bool;
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub kills: u32,
    pub acknowledged: u64,
    pub lost: u32,
    pub diverged: u32,
    pub complaints: Vec<String>,
}

pub const CLIENTS: usize = 6;

/// A service is given up after so many kills for a new one, so that starts do not take longer and longer.
const KILLS_OF_ONE: u32 = 25;

/// The longest time until a kill while it starts.
const LONGEST_START: u64 = 40_000;

/// Kills services that `begin` makes `kills` times in all.
pub fn torment<S: Service>(kills: u32, begin: impl Fn(u32) -> S) -> Found {
    let mut found = Found::default();
    let mut random = Random(0x5eed_1234_5678_9abc);
    for round in 1.. {
        let mut service = begin(round);
        let mut models = vec![S::State::default(); CLIENTS];
        assert!(service.start(), "round {round}: it did not start");
        let end = kills.min(found.kills + KILLS_OF_ONE);
        while found.kills < end {
            let pending = live(&mut service, &mut models, &mut random, &mut found);
            found.kills += 1;
            if random.below(4) == 0 && found.kills < end {
                // While it starts: what it does then must be safe to break off, too.
                service.launch();
                std::thread::sleep(Duration::from_micros(random.below(LONGEST_START)));
                service.kill();
                found.kills += 1;
            }
            let at = format!("round {round}, kill {}", found.kills);
            assert!(service.start(), "{at}: it did not start again");
            check(&service, &mut models, pending, &at, &mut found);
            if !found.complaints.is_empty() {
                // The model is not what is there any more, so nothing further could be told.
                return found;
            }
        }
        if found.kills >= kills {
            break;
        }
    }
    found
}

/// Clients ask until the service is killed; the change of each that was not answered.
fn live<S: Service>(
    service: &mut S,
    models: &mut [S::State],
    random: &mut Random,
    found: &mut Found,
) -> Vec<Option<S::Change>> {
    let clients: Vec<_> = models
        .iter()
        .enumerate()
        .map(|(number, model)| {
            let (mut client, mut model) = (service.connect(number), model.clone());
            let mut random = Random(random.next());
            std::thread::spawn(move || {
                let mut acknowledged = 0;
                loop {
                    let change = S::draw(number, &model, &mut random);
                    if !client.ask(&change) {
                        return (model, change, acknowledged);
                    }
                    S::apply(&mut model, &change);
                    acknowledged += 1;
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_micros(random.below(S::LONGEST_LIFE)));
    service.kill();
    let ended = clients.into_iter().map(|client| client.join().expect("a client"));
    let mut pending = Vec::new();
    for ((model, change, acknowledged), known) in ended.zip(models) {
        *known = model;
        found.acknowledged += acknowledged;
        pending.push(Some(change));
    }
    pending
}

/// Compares what is there with the models, each with or without what is pending; they are what is there afterwards.
fn check<S: Service>(
    service: &S,
    models: &mut [S::State],
    pending: Vec<Option<S::Change>>,
    at: &str,
    found: &mut Found,
) {
    let states = match service.observe(models.len()) {
        Ok(states) => states,
        Err(complaint) => {
            found.diverged += 1;
            found.complaints.push(format!("{at}: {complaint}"));
            return;
        }
    };
    for ((model, pending), state) in models.iter_mut().zip(pending).zip(states) {
        let mut further = model.clone();
        if let Some(change) = &pending {
            S::apply(&mut further, change);
        }
        if state == *model || state == further {
            *model = state;
        } else {
            let lost = S::age(&state) < S::age(model);
            *(if lost { &mut found.lost } else { &mut found.diverged }) += 1;
            found
                .complaints
                .push(format!("{at}: {state:?} is there, {model:?} was acknowledged, {pending:?} was asked"));
        }
    }
}
