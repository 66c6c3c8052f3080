Feature: Mail from the new server is signed
  Receivers check that a letter really comes from the domain it names; large ones refuse those that do not say so.
  The postmaster of every domain relies on it, and signs.
  If this fails, mail sent after the move is taken for forged.

  Scenario: The new server is ready to sign what people send
    Then the spam filter of the new server knows how to sign mail

  Scenario: Every key that signs today is found
    Then the old server has the signing key of every domain it signs for

  Scenario: The world knows the keys that sign
    Then the key published for each domain is the one its mail is signed with

  Scenario: Receivers can verify what the new server signs
    Then what the new server signs can be verified with the keys in DNS
