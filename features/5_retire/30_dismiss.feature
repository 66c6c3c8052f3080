Feature: The old server is dismissed
  A forgotten mail server that nobody mends is a danger to everybody, and its address may be another's tomorrow.
  The administrator signs, and may then switch the machine off.
  If this fails, the old server may still forward; nothing is lost.

  @move
  Scenario: The old server rests for good
    When the old server is dismissed
    Then the old server takes no mail and starts none of it by itself

  @undo
  Scenario: The old server can be called back
    When the old server is called back
    Then the old server hands on mail for its people and refuses everything else
