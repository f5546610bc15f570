// Logs, alerts by e-mail and a workbook. The app logs one JSON object per event as the message of a trace; the event names
// are listed in shared/log.py.

@description('Name of the function app; the resources are named after it.')
param appName string

@description('Azure region.')
param location string

@description('Object id of the identity that the app runs as.')
param principalId string

@description('Address that alerts are sent to.')
param alertEmail string

var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

var events = 'traces | extend e = parse_json(message) | extend event = tostring(e.event)'

// Rows are counted by the rule, not by the query: where nothing happened, "summarize count()" still gives a row.
var alerts = [
  {
    name: 'no-poll'
    title: 'CDR: no poll finished in 15 minutes'
    description: 'No call is being picked up. Look at /health, then at poll.failed and config.invalid in the logs: configuration, database login, or the way to the database.'
    severity: 1
    query: '${events} | where event == "poll.finished"'
    operator: 'LessThan'
    threshold: 1
  }
  {
    name: 'call-rejected'
    title: 'CDR: a call was rejected'
    description: 'A call is in the ledger as rejected and not in the Call Logger. Its reason is in the call.rejected event and in the workbook.'
    severity: 2
    query: '${events} | where event == "call.rejected"'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'poison'
    title: 'CDR: a message came to the poison queue'
    description: 'A call could not be submitted within all its tries. keep_poisoned records it in the ledger; the reason is in the failures of submit_call before it.'
    severity: 2
    query: '${events} | where event in ("poison.kept", "poison.returned") or message has "MaxDequeueCount"'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'source'
    title: 'CDR: something is wrong with the source of calls'
    description: 'Ids began again, the table was emptied or put back, or there are no calls where there should be some. The event says which; docs/operating.md says what to do.'
    severity: 1
    query: '${events} | where event in ("source.ids_started_again", "source.ids_below_position", "source.ends_went_back", "source.emptied", "source.vanished", "source.stands_still")'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'reconciliation'
    title: 'CDR: calls were missing, or could not be compared'
    description: 'The daily comparison of the last days found calls missing or changed, and queued them; or it could not be made. reconcile.finished says how many, GET /reconcile which.'
    severity: 2
    query: '${events} | where event == "reconcile.failed" or (event == "reconcile.finished" and (toint(e.missing) > 0 or toint(e.changed) > 0))'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'api-denied'
    title: 'CDR: the Call Logger refuses the credentials'
    description: 'The API answers 401 or 403, so no call can be submitted. Calls wait in the queue, but not for ever: renew the credentials soon.'
    severity: 1
    query: '${events} | where event == "api.denied"'
    operator: 'GreaterThan'
    threshold: 0
  }
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: '${appName}-logs'
  location: location
  properties: {
    retentionInDays: 30
    sku: {
      name: 'PerGB2018'
    }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: '${appName}-insights'
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

resource publisherRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, principalId, monitoringMetricsPublisher)
  scope: component
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${appName}-operators'
  location: 'global'
  properties: {
    enabled: true
    groupShortName: 'cdr-alerts'
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

// Windows overlap, because logs arrive some minutes late; an alert that is still up is not sent again.
resource alertRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in alerts: {
    name: '${appName}-${alert.name}'
    location: location
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [
        component.id
      ]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
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
          operators.id
        ]
      }
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, appName, 'workbook')
  location: location
  kind: 'shared'
  properties: {
    displayName: 'Calls of ${appName}'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: component.id
    serializedData: replace(loadTextContent('workbook.json'), '<component id>', component.id)
  }
}

@description('Name of the Application Insights component.')
output applicationInsightsName string = component.name
