Feature: The world's mail goes to the new server
  From here on every new letter is delivered to the new server.
  The administrator of the zones signs.
  If this fails, letters wait at their senders or go to the old server, which hands them on.

  @move
  Scenario: The mail of every domain is led to the new server
    When the mail of every domain is switched to the new server
    Then every name server, and whoever asks a cache, is led to the new server

  @undo
  Scenario: The mail of every domain can be led back
    When the mail of every domain is switched back to the old server
    Then every domain of the old server leads its mail there again
