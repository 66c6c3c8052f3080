@mariadb @dovecot
Feature: Everybody can log in on the new server
  The first thing people do in the morning is to open their mail, with the password they have.
  Every user relies on it; the postmaster signs.
  If this fails, somebody is locked out: the accounts named have to be mended before the move is called done.

  Scenario: Everybody has an account with the password they know
    Then everybody of the old server has an account on the new one with the same password
    And the new server finds the mailbox of everybody who was carried over

  Scenario: Every kind of password hash is understood
    Then somebody with each kind of password hash can log in on the new server

  Scenario: The webmail lets people in and shows their contacts
    Then the new webmail lets in who has the right password, and nobody else
    And every contact, group and identity of the old webmail is in the new one

  Scenario: The old name still works
    Then mail programs that know the old server's name are shown a certificate for it
