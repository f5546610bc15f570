// Who is told of what. Each rule has a section of its name in docs/runbook.md, to which its mail leads.

@description('Name of the function app; the rules are named after it.')
param appName string

@description('Azure region.')
param location string

@description('Name of the Application Insights component that has the logs.')
param applicationInsightsName string

@description('Resource id of the action group that is told.')
param actionGroupId string

@description('Look at the health check from outside. False where the app is closed to the internet.')
param testHealth bool

@description('Address of the health check.')
param healthUrl string

@description('Where docs/runbook.md can be read.')
param runbookUrl string

@description('Tags of the resources.')
param tags object

var events = 'traces | extend e = parse_json(message) | extend event = tostring(e.event)'

var apiFailures = '"ApiUnavailable", "ApiUnreachable", "ApiFailed", "ApiDenied", "SubmissionUnknown"'

// What an alert is split by: each value has one of its own, and stands in the mail.
var byReason = [
  {
    name: 'reason'
    operator: 'Include'
    values: ['*']
  }
]

var byEvent = [
  {
    name: 'event'
    operator: 'Include'
    values: ['*']
  }
]

var byWhat = [
  {
    name: 'what'
    operator: 'Include'
    values: ['*']
  }
]

// Rows are counted by the rule. A query that counts by itself gives one row where nothing happened: so one that adds up
// ends with a condition, and the one that waits for silence adds up nothing.
var alerts = [
  {
    name: 'no-poll'
    title: 'CDR: no poll finished in 15 minutes'
    description: 'No call is being picked up.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "poll.finished"'
    operator: 'LessThan'
    threshold: 1
    dimensions: []
  }
  {
    name: 'api-down'
    title: 'CDR: the Call Logger takes no calls'
    description: 'For a quarter of an hour calls were put back or stayed without an answer, and none got in. They wait in the queue, for as long as api.give_up_after says.'
    severity: 1
    window: 'PT1H'
    query: '${events} | extend failed = event in ("call.put_back", "call.unsettled") and tostring(e.error) in (${apiFailures}), answered = event == "call.submitted" or (event == "call.rejected" and tostring(e.reason) == "refused_by_api") | summarize first_failed = min(iff(failed, timestamp, datetime(null))), last_failed = max(iff(failed, timestamp, datetime(null))), last_answered = max(iff(answered, timestamp, datetime(null))) | where last_failed - max_of(first_failed, coalesce(last_answered, first_failed)) >= 15m'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'api-denied'
    title: 'CDR: the Call Logger refuses us'
    description: 'It answers that our credentials are none, or what answers is no Call Logger. No call gets in.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "api.denied"'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'call-rejected'
    title: 'CDR: calls were rejected'
    description: 'Calls are in the ledger as rejected and not in the Call Logger. The dimension of this alert is the reason.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event == "call.rejected" | extend reason = tostring(e.reason)'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: byReason
  }
  {
    name: 'rejections-stopped'
    title: 'CDR: so many calls were rejected that no more are'
    description: 'Something else than the calls must be wrong. They are put back until it is mended.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "rejections.stopped"'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'poison'
    title: 'CDR: a message came to the poison queue'
    description: 'A call could not be worked on within all deliveries of its message. keep_poisoned records it in the ledger.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event in ("poison.kept", "poison.returned", "poison.failed") or message has "MaxDequeueCount"'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'storage-failing'
    title: 'CDR: queue or tables cannot be used'
    description: 'The storage account failed several times within a quarter of an hour.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "storage.failed" or (event in ("poll.failed", "groups.failed", "reconcile.failed", "call.put_back") and tostring(e.error) == "StorageUnavailable")'
    operator: 'GreaterThan'
    threshold: 4
    dimensions: []
  }
  {
    name: 'storage-vanished'
    title: 'CDR: a table or queue was gone'
    description: 'It was made anew, and is empty. The dimension of this alert says which one it was.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "storage.made_anew" | extend what = tostring(e.what)'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: byWhat
  }
  {
    name: 'config-invalid'
    title: 'CDR: the configuration is not usable'
    description: 'Nothing is polled or submitted until it is mended.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event == "config.invalid"'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'lag'
    title: 'CDR: polls are more than ten minutes behind'
    description: 'There are more calls than are read.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event == "poll.finished" and toint(e.lag_s) > 600'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'queue-growing'
    title: 'CDR: the queue grows'
    description: 'For half an hour there were more than a hundred messages, and they became more.'
    severity: 2
    window: 'PT30M'
    query: '${events} | where event == "poll.finished" and isnotnull(e.queue_depth) | extend at = timestamp, before = toint(e.queue_depth), after = toint(e.queue_depth) | summarize least = min(before), arg_min(timestamp, before), arg_max(at, after) | where least > 100 and after > before'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'source'
    title: 'CDR: something is wrong with the source of calls'
    description: 'Ids began again, an older state was put back, there are no calls where there should be some, or what is under way cannot be seen. The dimension of this alert is the event that says which.'
    severity: 1
    window: 'PT15M'
    query: '${events} | where event in ("source.ids_started_again", "source.ids_below_position", "source.ends_went_back", "source.emptied", "source.vanished", "source.stands_still", "source.blind", "source.calls_named_anew", "source.rows_without_id", "source.rows_came_late")'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: byEvent
  }
  {
    name: 'source-unwatched'
    title: 'CDR: nobody knows whether the source stands still'
    description: 'Polls go on, but their look at the end of the source failed again and again.'
    severity: 3
    window: 'PT30M'
    query: '${events} | where event == "source.watch_failed"'
    operator: 'GreaterThan'
    threshold: 4
    dimensions: []
  }
  {
    name: 'reconciliation'
    title: 'CDR: calls were missing, or could not be compared'
    description: 'The daily comparison of the last days found calls missing or changed, and queued them; or it could not be made.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event == "reconcile.failed" or (event == "reconcile.finished" and (toint(e["missing"]) > 0 or toint(e.changed) > 0 or not(tobool(e.complete))))'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'directory'
    title: 'CDR: the phone system does not tell whose extension is whose'
    description: 'What it told before is older than six hours, or it never told.'
    severity: 2
    window: 'PT30M'
    query: '${events} | where event == "directory.failed" and (isnull(e.age_s) or toint(e.age_s) > 21600)'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
  {
    name: 'run-failed'
    title: 'CDR: a function failed'
    description: 'It ended with an error that it does not expect, or was stopped by the platform. The dimension of this alert is its name.'
    severity: 2
    window: 'PT15M'
    query: 'requests | where success == false and isempty(url) | extend what = name'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: byWhat
  }
  {
    name: 'no-group-check'
    title: 'CDR: no check of the call groups finished in two hours'
    description: 'Whether a group has nobody is not known.'
    severity: 2
    window: 'PT2H'
    query: '${events} | where event == "groups.checked"'
    operator: 'LessThan'
    threshold: 1
    dimensions: []
  }
  {
    name: 'groups'
    title: 'CDR: call groups are not watched'
    description: 'Their members cannot be read, or the Call Logger could not be told. The dimension of this alert is the event that says which.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event in ("groups.failed", "groups.unknown", "alert.failed")'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: byEvent
  }
  {
    name: 'webhook'
    title: 'CDR: a webhook does not take notices'
    description: 'Somebody was not told of a call group. The Call Logger was.'
    severity: 2
    window: 'PT15M'
    query: '${events} | where event == "notice.failed"'
    operator: 'GreaterThan'
    threshold: 0
    dimensions: []
  }
]

// Two of them must fail: one may have trouble of its own.
var lookedAtFrom = ['emea-nl-ams-azr', 'us-va-ash-azr', 'apac-sg-sin-azr']

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

// Windows overlap, because logs arrive some minutes late; an alert that is still up is not sent again.
resource alertRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in alerts: {
    name: '${appName}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: '${alert.description} ${runbookUrl}#${alert.name}'
      severity: alert.severity
      enabled: true
      scopes: [
        component.id
      ]
      evaluationFrequency: 'PT5M'
      windowSize: alert.window
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            dimensions: alert.dimensions
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // The tables do not exist before the first log line.
      skipQueryValidation: true
      actions: {
        actionGroups: [
          actionGroupId
        ]
        customProperties: {
          runbook: '${runbookUrl}#${alert.name}'
        }
      }
    }
  }
]

resource healthTest 'Microsoft.Insights/webtests@2022-06-15' = if (testHealth) {
  name: '${appName}-health'
  location: location
  kind: 'standard'
  // By this tag the component shows the test.
  tags: union(tags, {
    'hidden-link:${component.id}': 'Resource'
  })
  properties: {
    SyntheticMonitorId: '${appName}-health'
    Name: '${appName}-health'
    Enabled: true
    Kind: 'standard'
    Frequency: 300
    // Longer than a look at everything takes, after the start of an instance.
    Timeout: 60
    RetryEnabled: true
    Locations: [
      for place in lookedAtFrom: {
        Id: place
      }
    ]
    Request: {
      RequestUrl: healthUrl
      HttpVerb: 'GET'
      FollowRedirects: false
      ParseDependentRequests: false
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 14
    }
  }
}

resource healthAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = if (testHealth) {
  name: '${appName}-health'
  location: 'global'
  tags: tags
  properties: {
    description: 'The health check does not answer, or says that a part is not usable. ${runbookUrl}#health'
    severity: 1
    enabled: true
    scopes: [
      healthTest.id
      component.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: healthTest.id
      componentId: component.id
      failedLocationCount: 2
    }
    autoMitigate: true
    actions: [
      {
        actionGroupId: actionGroupId
      }
    ]
  }
}
