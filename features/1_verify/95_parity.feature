Feature: The new server does what the old one did
  A server that has stood for years does more than its admin remembers.
  The sysadmin signs this; whoever relies on something that nobody wrote down relies on it.
  What fails here is lost on the evening without a word, and missed a week later.

  Rule: Whoever writes is heard as before

    Scenario: No letter is too large that was not too large before
      Then the new server takes every letter that is not too large for the old one

    Scenario: Letters go the ways they went
      Then the new server knows every way that letters go on the old one

    Scenario: Whoever could send can send
      Then whoever sends through the old server can send through the new one

    @recommended
    Scenario: Every setting of Postfix is the same or explained
      Then Postfix is set on the new server as on the old one

  Rule: People find what they are used to

    Scenario: Every way of reading and logging in is there
      Then people can read and log in as on the old server

    Scenario: Mailboxes work as they did
      Then mailboxes on the new server work as on the old one

    @recommended
    Scenario: Letters are judged by the same lists
      Then the spam filter of the new server has the lists and settings of the old one

  Rule: Nothing stays behind unseen

    Scenario: No letter lies outside the mailboxes
      Then no letter on the old server lies where no move looks

    @recommended
    Scenario: Nothing else lies in the database
      Then nothing lies in the old server's databases that stays behind

    @recommended
    Scenario: What is done by itself is done again
      Then every job of the old server that touches mail is on the new one

    @recommended
    Scenario: The web server offers what it offered
      Then everything that the old web server offers is offered by the new one

    @recommended
    Scenario: Nothing else runs on the old server alone
      Then nothing runs on the old server only
