//! A session changes its holder in a pool that is full.

use super::*;

/// A session changes its holder in a pool that is full.
struct Trade {
    /// Whether it logs in, or out.
    login: bool,
    /// Sessions that the user has already.
    others: u64,
}

impl Step for Trade {
    type With = String;
    const NAME: &str = "a trade";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (String, String) {
        for _ in 0..self.others {
            login(&stage.request(&stage.create().token.reveal()));
        }
        let token = stage.create().token.reveal();
        if self.login {
            return (token.clone(), format!("login {token} ada"));
        }
        let token = stage.request(&token).login("ada").expect("a login").token.reveal();
        (token.clone(), format!("logout {token}"))
    }

    fn settle(&self, stage: &Stage, token: String, _: &mut Process, answer: Option<&str>) -> Instant {
        let (before, after) = (if self.login { 1 + self.others } else { 1 }, 1);
        let in_use = stage.usage().in_use;
        stage.exact(in_use);
        assert!(in_use == after || (in_use == before && answer.is_none()), "{in_use} {answer:?}");
        match stage.manager.begin(&token, BeginOptions::default()).expect("a request") {
            Begin::Live(request) if self.login => login(&request),
            Begin::Live(request) => assert!(matches!(request.logout(true), Ok(Logout::Done(_)))),
            // Nobody has the token that a logout gave to the dead one.
            other => assert!(matches!(other, Begin::Gone(EndReason::Replaced)) && !self.login, "{other:?}"),
        }
        let well = Instant::now();
        stage.exact(after);
        let usage = stage.usage();
        let holder = &usage.holders[0];
        assert_eq!((usage.holders.len(), &*holder.holder == "ada"), (1, self.login));
        assert_eq!(holder.connections, self.others + 1);
        stage.end_all();
        well
    }
}

#[test]
fn a_login_trades_the_last_unit_or_keeps_it() {
    kill_everywhere(&Stage::new(1, 1, |shop| shop), &Trade { login: true, others: 0 });
}

#[test]
fn a_login_gives_the_last_unit_up_or_keeps_it() {
    kill_everywhere(&Stage::new(2, 2, |shop| shop), &Trade { login: true, others: 1 });
}

#[test]
fn a_logout_trades_the_last_unit_or_keeps_it() {
    kill_everywhere(&Stage::new(1, 1, |shop| shop), &Trade { login: false, others: 0 });
}
