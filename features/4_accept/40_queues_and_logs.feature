Feature: Queues and logs tell of no trouble
  What goes wrong in the first hours stands there long before anybody complains.
  The administrator reads what is shown here, and signs.
  If this fails, letters wait or services complain: look before the safety net is taken away.

  Scenario: No letter is stuck on either server
    Then every letter that waits on either server is shown with its age and its cause

  Scenario: The new server reports no trouble
    Then the mail log of the new server holds no trouble since it serves people

  Scenario: The old server reports no trouble
    Then the mail log of the old server holds no trouble since it was stopped
