@mariadb
Feature: Postfix finds everybody in the database
  While a sender is still on the line, Postfix decides whether there is such a person here.
  The sysadmin signs this; every sender of mail relies on it.
  What fails here refuses mail for people who exist, or accepts mail for people who do not.

  Background:
    Given a mailbox with an alias, made by mailmove

  Rule: Who is there is found, who is not there is not

    Scenario: Postfix finds every hosted domain and no other
      Then Postfix finds the mailbox's domain and no other

    Scenario: Postfix finds every mailbox and no other
      Then Postfix finds the mailbox and no other

    Scenario: Postfix finds every alias and where it leads
      Then Postfix finds the alias and where it leads

    Scenario: A catch-all does not swallow other people's mail
      Then mail for the mailbox stays there in spite of a catch-all

    Scenario: Postfix knows who may send as whom
      Then only the mailbox's owner may send in its name

  Rule: Nothing stands in the way

    Scenario: No hosted domain is claimed by another part of Postfix
      Then no domain to be moved is treated as a local one

    Scenario: The database passwords in the files are private
      Then nobody else can read the database passwords in the files

    Scenario: Aliases that lead to the machine itself find somebody there
      Then whatever aliases lead to on the machine itself is there on the new one

    @recommended
    Scenario: No alias runs in a circle or ends nowhere
      Then every alias of the old server leads to somebody
