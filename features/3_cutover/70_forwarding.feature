Feature: Whoever still knows the old server reaches people on the new one
  Some senders remember an old address for hours, some for days; their mail must arrive all the same, and once.
  The administrator signs; late senders rely on it.
  If this fails, the old server takes nothing, and late senders try again until they ask anew.

  @move
  Scenario: Mail that still comes to the old server arrives on the new one
    When the old server begins to hand all mail to the new one
    Then the old server hands nothing to anybody else for strangers

  @undo
  Scenario: The old server can stop forwarding
    When the old server stops handing mail to the new one
    Then the old server takes no letters from anybody
