Feature: Every letter is accounted for
  A letter that a server has taken is forgotten by its sender: from then on the servers alone answer for it.
  Whoever wrote to people here relies on it; the administrator signs.
  If this fails, the letters named are lost or there twice: their queue ids lead through the logs of both servers.

  Scenario: No letter was lost on the way, and none came twice
    Then every letter that either server took since the beginning of the move has exactly one end
