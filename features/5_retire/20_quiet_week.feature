Feature: Nobody needs the old server any more
  The last sender must have learned the new address before the old one falls silent.
  The administrator signs; late senders rely on it.
  If this fails, somebody still comes to the old server: wait until the time named.

  Scenario: The old server was not needed for long enough
    Then no letter came to the old server for the time agreed

  Scenario: No letter is left behind on the old server
    Then no letter was put into a mailbox of the old server since it was stopped
    And no letter waits on the old server
