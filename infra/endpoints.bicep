// Private endpoints of the storage account: one for each service that the app uses.

@description('Name of the function app; the resources are named after it.')
param appName string

@description('Azure region of the network.')
param location string

@description('Resource id of the storage account.')
param storageAccountId string

@description('Subnet of the app; its network is linked to the DNS zones.')
param appSubnetId string

@description('Subnet of the endpoints.')
param endpointSubnetId string

@description('Create the private DNS zones and link them.')
param createDnsZones bool

@description('Tags of the resources.')
param tags object

var services = [
  'blob'
  'queue'
  'table'
]

var servicesWithZone = createDnsZones ? services : []

// The storage account refuses a change while another one is under way.
@batchSize(1)
resource endpoints 'Microsoft.Network/privateEndpoints@2025-09-01' = [
  for service in services: {
    name: '${appName}-${service}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: endpointSubnetId
      }
      privateLinkServiceConnections: [
        {
          name: service
          properties: {
            privateLinkServiceId: storageAccountId
            groupIds: [
              service
            ]
          }
        }
      ]
    }
  }
]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for service in servicesWithZone: {
    name: 'privatelink.${service}.${environment().suffixes.storage}'
    location: 'global'
    tags: tags
  }
]

resource zoneLinks 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (service, index) in servicesWithZone: {
    parent: zones[index]
    name: '${appName}-${service}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: split(appSubnetId, '/subnets/')[0]
      }
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = [
  for (service, index) in servicesWithZone: {
    parent: endpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: service
          properties: {
            privateDnsZoneId: zones[index].id
          }
        }
      ]
    }
  }
]
