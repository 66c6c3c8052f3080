@mariadb @postfix @dovecot
Feature: Mail from outside reaches its mailbox
  People outside write, people here read: all else a mail server does serves this.
  The sysadmin signs this; everybody who has a mailbox here relies on it.
  A letter that does not arrive here today will not arrive after the move either.

  Rule: Whoever writes to a mailbox is heard

    Scenario Outline: A letter from outside arrives once over <family>
      Then a letter that comes from outside over <family> is in its mailbox once and unchanged

      Examples:
        | family |
        | IPv4   |
        | IPv6   |

    Scenario: A letter to an alias reaches the person behind it
      Then a letter to an alias is in the mailbox of the person behind it

    Scenario: A letter reaches everybody its alias leads to
      When somebody writes to an alias that leads to several people
      Then the letter is in the mailbox of each of them, once

    Scenario: A catch-all takes the letters to nobody, and no others
      When the catch-all of a domain leads to somebody
      Then a letter to nobody there reaches them, and one to somebody else does not

    Scenario: A letter to an address in capitals reaches its mailbox
      Then a letter to an address in capitals is in the mailbox of that name

    Scenario: A letter to a tagged address reaches its mailbox
      Then a letter to an address with a tag is in the mailbox without it

    Scenario: A bounce from another server reaches its mailbox
      Then a bounce that comes from another server is in the mailbox

    Scenario: Many letters at the same time each arrive once
      Then of many letters sent at the same time each arrives once

    Scenario: The old server can hand letters on to the new one
      Then the old server is greeted where the new one takes letters

  Rule: A letter arrives as it was written

    Scenario: Letters in any script arrive unchanged
      Then a letter with umlauts, Greek, Chinese and a bird arrives byte for byte

    Scenario: A letter that came a long way arrives whole
      Then a letter that came a long way and was written to many people arrives whole

    Scenario: A letter as large as the server allows arrives
      Then a letter nearly as large as the limit arrives

    @recommended
    Scenario: A letter that needs an international header is not taken and then lost
      Then a letter that needs an international header is delivered or refused at once

  Rule: What cannot be delivered is refused while the sender waits

    Scenario: Mail to somebody unknown is refused at once
      Then mail to somebody who is not there is refused while the sender waits

    Scenario: A letter larger than the server allows is refused at once
      Then a letter one byte over the limit is refused, whether it tells its size or not

  Rule: Who looks after the server hears from it

    @recommended
    Scenario: What the server has to say reaches its admin
      Then a letter of the new server to its admin would be delivered

  Rule: Strangers learn no addresses

    @recommended
    Scenario: Who collects addresses is told none
      Then who asks for names and aliases learns nothing
