@mariadb @postfix @dovecot
Feature: Mail is sorted as people have told it
  Rules file letters, and answer while people are away; they were written over years.
  The sysadmin signs this; everybody with a rule relies on it.
  What fails here leaves letters unsorted, or answers whom it should not.

  Rule: People can write rules

    Scenario: Rules are managed over encrypted connections only
      Given a mailbox with rules
      Then its owner can manage rules with the password, but not without encryption

    Scenario: Rules are tried when they are written
      Given a mailbox with rules
      Then a rule is kept as it was written, and a wrong one is refused

  Rule: Rules do what they say

    Scenario: A rule takes effect once it is switched on
      Given a mailbox with rules
      Then a rule files the letter that it is meant for, and no other

    Scenario: A notice of absence is sent once, and to people only
      Given a mailbox with rules
      Then its notice of absence answers a person once, and a mailing list never

  Rule: Rules that people have keep working

    Scenario: The new server understands every rule of the old one
      Given a mailbox with rules
      Then the new server takes every rule of the old one
