// node kafkajs.js HOST:PORT   Writes and reads through kafkajs, as a group that commits and goes on; exits 0 if all is as sent.
const assert = require('node:assert')
const { CompressionTypes, Kafka, logLevel } = require('kafkajs')

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR })
const topic = `js-${Date.now()}`

async function write(values, compression = CompressionTypes.None) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  await producer.send({ topic, compression, messages: values.map(value => ({ key: 'k', value, headers: { h: 'x' } })) })
  await producer.disconnect()
}

async function read(groupId, count) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const values = []
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${values.length} of ${count}`)), 30_000).unref()
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        values.push(message.value.toString())
        await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
        if (values.length === count) resolve()
      },
    }).catch(reject)
  })
  await consumer.disconnect()
  return values
}

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  await write(['1', '2', '3'])
  await write(['4', '5'], CompressionTypes.GZIP)
  assert.deepEqual(await read('js-group', 5), ['1', '2', '3', '4', '5'])
  await write(['6'])
  assert.deepEqual(await read('js-group', 1), ['6'])
  const offsets = await admin.fetchTopicOffsets(topic)
  assert.equal(offsets[0].high, '6')
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
