@mariadb @postfix @dovecot
Feature: A full mailbox says so
  Where mailboxes have a limit, nobody may lose mail by it without a word.
  The sysadmin signs this; people with much mail rely on it, and those who write to them.
  What fails here makes the server send bounces to people who never wrote.

  Scenario: A letter to a full mailbox is refused at once
    Then a letter to a full mailbox is refused while the sender waits

  Scenario: A mailbox with more room takes letters again
    Then a mailbox that was full takes letters again once it has more room

  @recommended
  Scenario: A mailbox that is nearly full warns its owner
    Then whoever's mailbox is nearly full finds a warning in it
