//! Users log in and out, features are taken and returned, pools change.

use std::sync::atomic::Ordering;

use libsession_core::*;

use crate::model::{Wish, groups_of};
use crate::play::{Got, Play, USERS, ms};
use crate::pools::{self, RULES};

impl Play {
    /// The groups of a user, and how long to wait. Who does not wait may have the host asked for them, which tells the same.
    fn login_options(&mut self, user: &str) -> (LoginOptions, Ticket, u64, i8) {
        let ((wait, priority), ticket) = (self.patience(), Ticket::new());
        let groups = groups_of(user).iter().map(|group| (*group).to_owned()).collect();
        let groups = if wait == 0 && self.dice.one_in(2) { None } else { Some(groups) };
        self.resolves.store(!self.dice.one_in(6), Ordering::SeqCst);
        let queue = QueueOptions { wait: ms(wait), priority, ticket: Some(ticket.clone()) };
        (LoginOptions { groups, queue }, ticket, wait, priority)
    }

    /// Whether the host is asked for groups, which its pool's rules name, and can't tell: then nothing is done.
    fn is_unresolved(&self, pool: Option<usize>, groups: Option<&Vec<String>>) -> bool {
        let names = pool.is_some_and(|pool| self.model.pools[pool].names_groups());
        groups.is_none() && names && !self.resolves.load(Ordering::SeqCst)
    }

    pub(super) fn login(&mut self) {
        let Some((number, request, handle)) = self.any_request() else { return };
        let user = (*self.dice.pick(&USERS)).to_owned();
        let (options, ticket, wait, priority) = self.login_options(&user);
        self.say(format!("login s{number} {user} wait {wait} priority {priority} groups {:?}", options.groups));
        if self.is_unresolved(self.model.sessions[number].pool, options.groups.as_ref()) {
            assert_eq!(handle.login_with(&user, options).expect_err("no groups").kind(), ErrorKind::Denied);
            return;
        }
        let (call, then) = self.answer(Got::LoggedIn);
        match options.groups {
            Some(_) => handle.login_async(&user, options, then),
            // Whoever asks the host waits for it.
            None => then(handle.login_with(&user, options)),
        }
        let expected = self.model.sessions[number].user.clone();
        self.expect(call, ticket, Wish::Login { number, request, user, expected }, wait, priority);
    }

    pub(super) fn trade(&mut self) {
        let Some((number, request, handle)) = self.any_request() else { return };
        let Some(user) = self.model.sessions[number].user.clone() else {
            assert_eq!(handle.trade().expect_err("nobody").kind(), ErrorKind::Invalid);
            return;
        };
        let (options, ticket, wait, priority) = self.login_options(&user);
        self.say(format!("trade s{number} {user} wait {wait} priority {priority} groups {:?}", options.groups));
        if self.is_unresolved(self.model.sessions[number].pool, options.groups.as_ref()) {
            assert_eq!(handle.trade_with(options).expect_err("no groups").kind(), ErrorKind::Denied);
            return;
        }
        let (call, then) = self.answer(|()| Got::Done);
        match options.groups {
            Some(_) => handle.trade_async(options, then),
            None => then(handle.trade_with(options)),
        }
        self.expect(call, ticket, Wish::Trade { number, request, user }, wait, priority);
    }

    pub(super) fn logout(&mut self) {
        let Some((number, _, handle)) = self.any_request() else { return };
        self.say(format!("logout s{number}"));
        let traded = self.model.logout(number);
        match (handle.logout(false).expect("logout"), traded) {
            (Logout::Done(token), Ok(())) => {
                let new = self.model.rotate(number, 0);
                self.tokens.insert(new, token.reveal());
            }
            (Logout::Ended(receipt), Err(_)) => {
                assert_eq!(receipt.reason, EndReason::LicenseDenied);
                self.model.end(number, EndReason::LicenseDenied);
            }
            (done, traded) => panic!("{done:?}, the model says {traded:?}"),
        }
    }

    pub(super) fn take(&mut self) {
        let Some((number, request, handle)) = self.any_request() else { return };
        let (pool, count) = (self.dice.roll(RULES.len() as u64) as usize, 1 + self.dice.roll(3));
        let user = self.model.sessions[number].user.clone().unwrap_or_default();
        let (LoginOptions { groups, queue }, ticket, wait, priority) = self.login_options(&user);
        self.say(format!("take s{number} pool{pool} {count} wait {wait} priority {priority} groups {groups:?}"));
        if !user.is_empty() && self.is_unresolved(Some(pool), groups.as_ref()) {
            let taken = handle.take_feature(&format!("pool{pool}"), FeatureOptions { count, groups, queue });
            assert_eq!(taken.expect_err("no groups").kind(), ErrorKind::Denied);
            return;
        }
        let (call, then) = self.answer(|()| Got::Done);
        let (name, options) = (format!("pool{pool}"), FeatureOptions { count, groups, queue });
        match options.groups {
            Some(_) => handle.take_feature_async(&name, options, then),
            None => then(handle.take_feature(&name, options)),
        }
        self.expect(
            call,
            ticket,
            Wish::Take { number, request, pool, count, groups: groups_of(&user) },
            wait,
            priority,
        );
    }

    pub(super) fn give_back(&mut self) {
        let Some((number, _, handle)) = self.any_request() else { return };
        let (pool, count) = (self.dice.roll(RULES.len() as u64) as usize, 1 + self.dice.roll(4));
        self.say(format!("give back s{number} pool{pool} {count}"));
        let returned = self.model.give_back(number, pool, count);
        assert_eq!(handle.return_feature(&format!("pool{pool}"), count), Ok(returned));
        self.model.claim_all();
        let features = handle.features().expect("features").into_iter();
        let features: Vec<_> = features.map(|taken| (taken.pool.to_string(), taken.count)).collect();
        let takes = self.model.sessions[number].takes.iter();
        let takes: Vec<_> = takes.map(|taken| (format!("pool{}", taken.pool), taken.count)).collect();
        assert_eq!(features, takes, "features of s{number}");
    }

    pub(super) fn change_pool(&mut self) {
        let pool = self.dice.roll(RULES.len() as u64) as usize;
        let mut to = self.model.pools[pool].rules.clone();
        if self.dice.one_in(2) {
            to.capacity = self.dice.roll(9);
        }
        if self.dice.one_in(4) {
            to.unit_rule = *self.dice.pick(&RULES);
            to.max_connections = 1 + self.dice.roll(3) as u32;
        }
        if self.dice.one_in(8) {
            to.holder_per_client = !to.holder_per_client;
        }
        pools::vary(&mut self.dice, &mut to);
        let (name, now) = (format!("pool{pool}"), to.clone());
        self.say(format!("change {}", to.to_json()));
        let changed = self.manager.change_pool(
            &name,
            |pool: &mut Pool| {
                *pool = to.clone();
                Ok(())
            },
            None,
        );
        let may = self.model.pools[pool].rules.to_json() == now.to_json() || self.model.change_pool(pool, now);
        assert_eq!(changed.as_ref().map(drop).map_err(Error::kind), if may { Ok(()) } else { Err(ErrorKind::Invalid) });
    }

    /// Cancels a wait.
    pub(super) fn cancel(&mut self) {
        if self.waits.is_empty() {
            return;
        }
        let position = self.dice.roll(self.waits.len() as u64) as usize;
        let (place, _, ticket) = self.waits[position].clone();
        self.say(format!("cancel the wait at place {place}"));
        ticket.cancel();
        self.model.cancel(place);
    }
}
