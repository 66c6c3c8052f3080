Feature: The database knows who has a mailbox
  Postfix, Dovecot and the webmail look up every person, domain and alias here.
  The sysadmin signs this; every delivery and every login relies on it.
  What fails here makes mail bounce, or lets strangers in.

  Rule: It can hold what is to come

    Scenario: The database has the tables of the guide
      Then the tables for domains, mailboxes and aliases are complete

    @recommended
    Scenario: The old server's accounts fit into the new tables
      Then everything in the old server's tables has its place on the new server

    @recommended @postfix @dovecot
    Scenario: The database lets in everybody who asks at once
      Then the database lets in as many at once as may bring letters

    Scenario: No account can be without its domain
      Then mailboxes and aliases come and go with their domain

  Rule: Nobody may do more than they must

    Scenario: Postfix and Dovecot can read the database and not write it
      Then the readers of the database can read and nothing else

    Scenario: The guide's sample passwords are gone
      Then no password from the guide's pages works

    @recommended
    Scenario: The database lets nobody in from elsewhere
      Then nobody can log in to the database from another machine
