// Logs, who is told of alerts, and a workbook. The app logs one JSON object per event as the message of a trace; the event
// names are listed in shared/log.py.

@description('Name of the function app; the resources are named after it.')
param appName string

@description('Azure region.')
param location string

@description('Object id of the identity that the app runs as.')
param principalId string

@description('Address that alerts are sent to.')
param alertEmail string

var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

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

@description('Resource id of the action group that alerts go to.')
output actionGroupId string = operators.id
