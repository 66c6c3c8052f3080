@mariadb @postfix @dovecot @rspamd
Feature: Spam is told from mail, and people can teach the filter
  People are used to an inbox without spam; a new server has to know spam from the first minute.
  The sysadmin signs this; everybody who reads mail here relies on it.
  What fails here fills inboxes with spam, or hides mail that was wanted.

  Rule: Every letter is judged

    Scenario: The spam filter sees every letter
      Then the spam filter has seen a letter from outside and one written on the server itself

    Scenario: The spam filter can look up names
      Then the filter can tell who may write for a domain

    Scenario: Spam from outside does not reach the inbox
      Then a letter from outside that is certainly spam is refused or filed as spam

    Scenario: Spam written on the server itself does not reach the inbox
      Then a letter written on the server itself that is certainly spam does not reach the inbox

    Scenario: What is marked as spam is filed as spam
      Then a letter that the filter has marked is filed into the folder for spam

    @recommended
    Scenario: Letters show what the filter thought of them
      Then a letter from outside shows what the filter thought of it

  Rule: The filter learns, and keeps what it learnt

    Scenario: What the filter learns can be carried over
      Then what the filter learns is kept where it can be carried over

    Scenario: What the filter learns outlasts a restart
      Then what the filter learns is written to the disk

    Scenario: People teach the filter by moving letters
      Then the filter learns from a letter that is moved to the spam and back

    @recommended
    Scenario: Emptying the spam folder teaches nothing
      Then the filter learns nothing from spam that is thrown away

  Rule: Strangers learn nothing from the filter

    Scenario: The filter's web pages ask for a password
      Then the filter's own web pages tell a stranger nothing
