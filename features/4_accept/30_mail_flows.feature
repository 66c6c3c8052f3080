@mariadb @postfix @dovecot
Feature: Mail flows in every direction
  The servers may look right and the world still go elsewhere: only letters that travel prove it.
  The administrator signs; everybody with a mailbox relies on it.
  If this fails, mail is on its way to the wrong place or waits; the old server is still there to go back to.

  Background:
    Given a mailbox of mailmove's own in every domain that was moved

  Scenario: Mail from outside arrives in every domain
    Then a letter that follows the world's records is in each of them once

  Scenario: Mail to the outside arrives there
    Then a letter from one of them arrives in a mailbox elsewhere

  Scenario: Mail to the outside is believed there
    Then a letter from each of them is believed elsewhere

  Scenario: Mail from one domain to another arrives
    Then a letter from one domain is in the mailbox of another

  Scenario: Mail to an alias in a moved domain arrives
    Then a letter to an alias of one of them is in it
