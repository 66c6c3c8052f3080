Feature: The logs tell of no trouble
  Everything that was tried until here has left its traces in the logs of both servers.
  The sysadmin signs this, and looks there first when somebody misses a letter.
  What fails here works today and fails one day, or cannot be found out about then.

  Scenario: What happens is written to the mail log
    When a letter from outside is refused
    Then the refusal stands in the new server's mail log

  Scenario: What happened on the old server stands in its mail log
    Then the old server's mail log tells of its letters until now

  Scenario: The new server complains of nothing
    Then the new server's mail log holds no trouble since this verification began

  @recommended
  Scenario: The old server complains of nothing
    Then the old server's mail log holds no trouble since this verification began
