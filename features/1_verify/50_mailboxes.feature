@mariadb @dovecot
Feature: People can open their mailboxes
  Dovecot lets them in and keeps their letters, whatever program they read mail with.
  The sysadmin signs this; everybody with a mailbox relies on it.
  What fails here is what people notice first.

  Rule: Who knows the password gets in, nobody else does

    Scenario: The right password opens the mailbox in every way offered
      Given a mailbox to try
      Then its owner gets in with the right password

    Scenario: Nobody gets in with a wrong password
      Then nobody gets in with a wrong password or a wrong name

    Scenario: Everybody's password stays valid
      Then every kind of password on the old server opens a mailbox on the new one

    Scenario: Nobody is locked out for an unusual name
      Then people with unusual names get in as everybody else does

    Scenario: A name in capitals opens the same mailbox
      Given a mailbox to try
      Then a name typed in capitals opens the same mailbox

    Scenario: Dovecot knows everybody in the database
      Given a mailbox to try
      Then Dovecot can name everybody who has a mailbox

  Rule: Letters come into the mailbox

    Scenario: Postfix can hand letters over to Dovecot
      Given a mailbox that never had a letter
      Then Dovecot takes letters from Postfix for whoever is there, and for nobody else

  Rule: A mailbox does what mail programs ask of it

    Scenario: A mailbox lies where it belongs and is private
      Given a mailbox nobody has opened yet
      Then it is made in its place when it is first opened

    Scenario: Mail programs find the folders for spam, sent and deleted mail
      Given a mailbox to try
      Then the folders for drafts, sent, spam and deleted mail are marked as such

    Scenario: Folders people subscribed to stay subscribed
      Given a mailbox to try
      Then the folders subscribed to are shown at the next login, and no others

    Scenario: Letters can be stored, found, flagged, moved and deleted
      Given a mailbox to try
      Then a letter in it can be handled as mail programs do

    Scenario: A waiting mail program is told of a new letter
      Given a mailbox to try
      Then a new letter is announced to a program that waits

    Scenario: Several programs can be open on one mailbox
      Given a mailbox to try
      Then as many programs as people have can be open on it, and see the same

    Scenario: Programs that fetch letters get each once
      Given a mailbox that is read by fetching
      Then a program that fetches letters finds each once, under the number it knows

    Scenario: A mailbox knows its limit
      Given a mailbox with a limit
      Then the limit is known to the mailbox

  Rule: Only what nobody wants goes away by itself

    @recommended
    Scenario: Old spam and deleted mail go away by themselves
      Given a mailbox to try
      Then what is old in the folders for spam and deleted mail goes away

    Scenario: Only spam and deleted mail go away by themselves
      Then letters in all other folders stay, however old they are

  Rule: What people are used to stays

    Scenario: Every way to the mailbox that people use stays
      Then the new server offers every way of reading mail that people use

    Scenario: Folders keep their names
      Given a mailbox to try
      Then both servers name folders in the same way

    @recommended
    Scenario: No folder will have a double
      Then no folder on the old server gets a double on the new one
