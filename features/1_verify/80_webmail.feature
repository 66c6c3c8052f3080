@mariadb @postfix @dovecot @apache
Feature: People read and write their mail in the browser
  For many people the webmail is their mail: what is wrong there is wrong everywhere.
  The sysadmin signs this, having looked at the pictures; people without a mail program rely on it.
  What fails here is the first thing that people call about.

  Rule: The webmail can be trusted with a password

    Scenario: A browser opens the webmail without a warning
      Then a browser opens the webmail without a warning

    Scenario: Nobody types a password into an unencrypted page
      Then whoever types the webmail's plain address is led to the encrypted one

    Scenario: A wrong password opens nothing
      Then a wrong password does not open the webmail

  Rule: People read and write

    Scenario: People read a letter in the webmail
      Then whoever logs in to the webmail can read the letter that has just come

    Scenario: A letter written in the webmail arrives
      Then a letter written in the webmail arrives

    Scenario: People find in the webmail whom they know
      Then somebody written into the address book is found there

  Rule: What people set there holds everywhere

    Scenario: A filter made in the webmail sorts letters
      Then a filter made in the webmail sorts the next letter

    Scenario: A password changed in the webmail is changed everywhere
      Then a password changed in the webmail opens everything, and the old one nothing any more
