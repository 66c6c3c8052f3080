@mariadb @postfix @dovecot
Feature: People send through the server, strangers do not
  Whoever lives here writes to the whole world; nobody else may do it in this server's name.
  The sysadmin signs this; people rely on their letters getting out, and others on this server not sending spam.
  What fails here keeps people from sending, or gets the server on every block list by tomorrow.

  Rule: People send as themselves

    Scenario: The right password lets people send
      Then the right password is accepted wherever letters are handed in

    Scenario: Nobody can write under somebody else's address
      Then whoever is logged in cannot write as somebody else

  Rule: What people send arrives, or they learn that it did not

    Scenario: A letter to somebody here arrives
      Then a letter from one mailbox here is in another one here

    Scenario: A letter to somebody elsewhere arrives there
      Then a letter from a mailbox here is in a mailbox elsewhere

    Scenario: Letters are believed where they arrive
      Then receivers elsewhere believe a letter from each domain that is here already

    Scenario: A letter that cannot be delivered comes back
      Then whoever writes to somebody who is not there learns of it

  Rule: No password and no letter of a mail program goes over the line unencrypted

    Scenario: No login is taken before the connection is encrypted
      Then no port where letters are taken offers or takes a login before the connection is encrypted

    Scenario: Nothing can be handed in unencrypted
      Then a mail program that does not encrypt can hand in nothing

  Rule: Strangers cannot send through the server

    Scenario Outline: No stranger can send through the server over <family>
      Then a stranger who calls over <family> cannot send to somebody elsewhere, however it is addressed

      Examples:
        | family |
        | IPv4   |
        | IPv6   |

    Scenario: Nobody is trusted for the address they call from
      Then the server trusts nobody outside for the address they call from

    Scenario: Nothing can be handed in without a login
      Then a mail program that does not log in can hand in nothing, not even for people here

    Scenario: A wrong password lets nobody send
      Then a wrong password does not let a letter in
