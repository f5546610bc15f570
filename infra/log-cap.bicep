// Says that the day's logs are used up. It asks the workspace, not the component: what a workspace says about itself is
// still written when nothing else is.

@description('Name of the function app; the rule is named after it.')
param appName string

@description('Azure region.')
param location string

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Resource id of the action group that is told.')
param actionGroupId string

@description('Most GB of logs a day.')
param dailyCapGb int

@description('Where docs/runbook.md can be read.')
param runbookUrl string

@description('Tags of the resources.')
param tags object

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${appName}-log-cap'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'CDR: no more logs today'
    description: 'The log workspace took its ${dailyCapGb} GB of the day. Calls go on, but no other alert can see anything. ${runbookUrl}#log-cap'
    severity: 1
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT1H'
    criteria: {
      allOf: [
        {
          query: '_LogOperation | where Category =~ "Ingestion" | where Detail contains "OverQuota"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    skipQueryValidation: true
    actions: {
      actionGroups: [
        actionGroupId
      ]
      customProperties: {
        runbook: '${runbookUrl}#log-cap'
      }
    }
  }
}
