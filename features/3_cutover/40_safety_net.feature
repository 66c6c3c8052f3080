Feature: Nothing is refused for good in the first hours
  A mistake on the new server may then delay mail, but not send it back.
  The administrator signs; whoever writes to people here relies on it.
  If this fails, nothing has changed, and the new server is not started.

  @move
  Scenario: The new server puts off what it would refuse
    When the safety net is spread under the new server
    Then the new server is set to put off whatever it would refuse

  @undo
  Scenario: The safety net can be put away
    When the safety net is put away unused
    Then the new server would refuse for good again
