Feature: Address books and identities come along
  Contacts, groups, signatures and settings live in the webmail's database and nowhere else.
  Everybody who uses the webmail relies on it; the postmaster signs.
  If this fails, the new webmail stays as it was, and people would begin with an empty address book.

  @move
  Scenario: Every contact, group, identity and profile is in the new webmail
    When the webmail data are carried over
    Then everybody has one webmail profile, and it belongs to the new server

  @undo
  Scenario: The new webmail's data of before come back
    When the carrying over of the webmail data is taken back
    Then the new webmail works with its own tables
