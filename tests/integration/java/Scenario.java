import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/**
 * What an application does with Kafka's own clients, against whatever broker is named: every answer
 * is a line without anything that differs from run to run, so that the lines of two brokers can be
 * compared. usage: Scenario ADDRESS
 */
public final class Scenario {
    private static final Duration STEP = Duration.ofMillis(50);
    private static final long LIMIT_NS = 20_000_000_000L;
    private static final long START_MS = 1_700_000_000_000L;

    private final String address;
    private final Admin admin;

    private Scenario(String address) {
        this.address = address;
        this.admin = Admin.create(common());
    }

    private Properties common() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("request.timeout.ms", "10000");
        properties.put("default.api.timeout.ms", "15000");
        properties.put("retry.backoff.ms", "20");
        properties.put("retry.backoff.max.ms", "200");
        return properties;
    }

    private static void say(String what, Object answer) {
        System.out.println(what + ": " + answer);
    }

    /** The answer of a call, or the class of what it failed with. */
    private static String tried(Callable<Object> call) {
        try {
            return String.valueOf(call.call());
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        } catch (Exception e) {
            return e.getClass().getSimpleName();
        }
    }

    private static String outcome(Future<?> future) {
        return tried(() -> {
            future.get();
            return "done";
        });
    }

    /** Removes what an earlier run has left. */
    private void clean() throws Exception {
        admin.deleteTopics(admin.listTopics().names().get()).all().get();
        await(() -> admin.listTopics().names().get().isEmpty());
        List<String> groups =
            admin.listConsumerGroups().all().get().stream().map(g -> g.groupId()).toList();
        admin.deleteConsumerGroups(groups).all().get();
    }

    // ---- cluster

    private void cluster() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster(
            new DescribeClusterOptions().includeAuthorizedOperations(true));
        say("nodes", cluster.nodes().get().size());
        say("controller is a node", cluster.nodes().get().contains(cluster.controller().get()));
        say("cluster id", cluster.clusterId().get().length());
        say("cluster operations", new TreeSet<>(cluster.authorizedOperations().get()));
        int node = cluster.nodes().get().iterator().next().id();
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "" + node);
        Config config = admin.describeConfigs(List.of(broker)).all().get().get(broker);
        for (String name : List.of("num.partitions", "log.segment.bytes", "message.max.bytes",
                 "default.replication.factor", "offsets.retention.minutes", "log.dirs",
                 "auto.create.topics.enable", "socket.request.max.bytes"))
            say("broker " + name, config.get(name).type());
        say("broker is read only", config.get("num.partitions").isReadOnly());
    }

    // ---- topics

    private String described(TopicDescription topic) {
        StringBuilder text = new StringBuilder(topic.name() + " internal=" + topic.isInternal());
        topic.partitions().forEach(p -> text.append(" ").append(p.partition()).append("/")
            .append(p.leader().id()).append(p.replicas().size()).append(p.isr().size()));
        if (topic.authorizedOperations() != null)
            text.append(" ").append(new TreeSet<>(topic.authorizedOperations()));
        return text.toString();
    }

    private String created(NewTopic topic) {
        CreateTopicsResult result = admin.createTopics(List.of(topic));
        return tried(() -> {
            Config config = result.config(topic.name()).get();
            return result.numPartitions(topic.name()).get() + " partitions, "
                + result.replicationFactor(topic.name()).get() + " replicas, retention "
                + config.get("retention.ms").value() + " from "
                + config.get("retention.ms").source() + ", segments of "
                + config.get("segment.bytes").value() + " from "
                + config.get("segment.bytes").source();
        });
    }

    /** Apache Kafka answers a change a moment before its listings show it. */
    private static void await(Callable<Boolean> shown) throws Exception {
        long end = System.nanoTime() + LIMIT_NS;
        while (!shown.call() && System.nanoTime() < end)
            Thread.sleep(20);
    }

    private void make(NewTopic... topics) throws Exception {
        admin.createTopics(List.of(topics)).all().get();
        for (NewTopic topic : topics)
            awaitPartitions(topic.name(), topic.numPartitions());
    }

    private void awaitPartitions(String topic, int count) throws Exception {
        await(() -> tried(() -> admin.describeTopics(List.of(topic)).allTopicNames().get()
            .get(topic).partitions().size()).equals("" + count));
    }

    private void topics() throws Exception {
        say("create", created(new NewTopic("t", 3, (short) 1)
            .configs(Map.of("retention.ms", "3600000", "cleanup.policy", "delete"))));
        say("create with defaults", created(new NewTopic("d", java.util.Optional.empty(),
            java.util.Optional.empty())));
        say("create again", created(new NewTopic("t", 3, (short) 1)));
        say("create badly named", created(new NewTopic("a b", 1, (short) 1)));
        say("create with too many replicas", created(new NewTopic("r", 1, (short) 3)));
        say("create without partitions", created(new NewTopic("p", 0, (short) 1)));
        say("create with a bad value", created(new NewTopic("v", 1, (short) 1)
            .configs(Map.of("retention.ms", "soon"))));
        say("create with an unknown setting", created(new NewTopic("u", 1, (short) 1)
            .configs(Map.of("retention.msec", "1"))));
        say("create assigned", created(new NewTopic("a", Map.of(0, List.of(1), 1, List.of(1)))));
        say("only check", outcome(admin.createTopics(List.of(new NewTopic("c", 1, (short) 1)),
            new CreateTopicsOptions().validateOnly(true)).all()));
        say("checked is not made", !admin.listTopics().names().get().contains("c"));
        awaitPartitions("t", 3);
        awaitPartitions("a", 2);
        Map<String, TopicDescription> found = admin.describeTopics(List.of("t"),
            new DescribeTopicsOptions().includeAuthorizedOperations(true)).allTopicNames().get();
        say("describe", described(found.get("t")));
        Uuid id = found.get("t").topicId();
        say("has an id", !id.equals(Uuid.ZERO_UUID));
        say("describe by id", described(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id)))
            .allTopicIds().get().get(id)));
        say("the list has the id", admin.listTopics().namesToListings().get().get("t").topicId()
            .equals(id));
        say("describe unknown", outcome(admin.describeTopics(List.of("none")).allTopicNames()));
        say("describe unknown id", outcome(admin.describeTopics(
            TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds()));
        say("grow", outcome(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(5))).all()));
        say("shrink", outcome(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(2))).all()));
        say("grow unknown",
            outcome(admin.createPartitions(Map.of("none", NewPartitions.increaseTo(2))).all()));
        awaitPartitions("t", 5);
        say("grown", described(admin.describeTopics(List.of("t")).allTopicNames().get().get("t")));
        say("delete by id", outcome(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(
            admin.describeTopics(List.of("a")).allTopicNames().get().get("a").topicId()))).all()));
        say("delete by name", outcome(admin.deleteTopics(List.of("d")).all()));
        say("delete unknown", outcome(admin.deleteTopics(List.of("none")).all()));
        say("delete unknown id", outcome(admin.deleteTopics(
            TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).all()));
        await(() -> !admin.listTopics().names().get().contains("d"));
        say("left", new TreeSet<>(admin.listTopics().names().get()));
        make(new NewTopic("d", 1, (short) 1));
        say("made again with another id", !id.equals(
            admin.describeTopics(List.of("d")).allTopicNames().get().get("d").topicId()));
    }

    // ---- settings

    private String altered(String topic, String name, String value, AlterConfigOp.OpType how) {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return outcome(admin.incrementalAlterConfigs(Map.of(resource,
            List.of(new AlterConfigOp(new ConfigEntry(name, value), how)))).all());
    }

    private String setting(String name) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "t");
        ConfigEntry entry = admin.describeConfigs(List.of(resource),
            new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true))
            .all().get().get(resource).get(name);
        return entry.value() + " " + entry.type() + " from " + entry.source() + ", read only "
            + entry.isReadOnly() + ", sensitive " + entry.isSensitive() + ", explained "
            + (entry.documentation() != null && !entry.documentation().isEmpty()) + ", synonyms "
            + entry.synonyms().stream().map(s -> s.name() + "=" + s.value() + " " + s.source())
                  .toList();
    }

    /** The setting, once it has this value. */
    private String setting(String name, String value) throws Exception {
        await(() -> setting(name).startsWith(value + " "));
        return setting(name);
    }

    private void settings() throws Exception {
        for (String name : List.of("cleanup.policy", "compression.type", "delete.retention.ms",
                 "index.interval.bytes", "max.message.bytes", "message.timestamp.type",
                 "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "segment.bytes",
                 "unclean.leader.election.enable"))
            say(name, setting(name));
        say("set", altered("t", "segment.bytes", "1048576", AlterConfigOp.OpType.SET));
        say("set a bad value", altered("t", "segment.bytes", "much", AlterConfigOp.OpType.SET));
        say("set an unknown one", altered("t", "no.such", "1", AlterConfigOp.OpType.SET));
        say("set of no topic", altered("none", "segment.bytes", "1048576",
            AlterConfigOp.OpType.SET));
        say("segment.bytes", setting("segment.bytes", "1048576"));
        say("append", altered("t", "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND));
        say("cleanup.policy", setting("cleanup.policy", "delete,compact"));
        say("subtract", altered("t", "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT));
        say("cleanup.policy", setting("cleanup.policy", "delete"));
        say("append to a number", altered("t", "segment.bytes", "1", AlterConfigOp.OpType.APPEND));
        say("delete", altered("t", "segment.bytes", "", AlterConfigOp.OpType.DELETE));
        say("segment.bytes", setting("segment.bytes", "1073741824"));
        ConfigResource nowhere = new ConfigResource(ConfigResource.Type.TOPIC, "none");
        say("settings of no topic", outcome(admin.describeConfigs(List.of(nowhere)).all()));
    }

    // ---- records

    private KafkaProducer<String, String> producer(String codec) {
        Properties properties = common();
        properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("compression.type", codec);
        properties.put("enable.idempotence", "true");
        properties.put("linger.ms", "50");
        properties.put("max.block.ms", "10000");
        return new KafkaProducer<>(properties);
    }

    private KafkaConsumer<String, String> consumer(String group, String... pairs) {
        Properties properties = common();
        properties.put("key.deserializer",
            "org.apache.kafka.common.serialization.StringDeserializer");
        properties.put("value.deserializer",
            "org.apache.kafka.common.serialization.StringDeserializer");
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("heartbeat.interval.ms", "200");
        if (group != null)
            properties.put("group.id", group);
        for (int i = 0; i < pairs.length; i += 2)
            properties.put(pairs[i], pairs[i + 1]);
        return new KafkaConsumer<>(properties);
    }

    private static List<ConsumerRecord<String, String>> read(Consumer<String, String> consumer,
                                                             int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long end = System.nanoTime() + LIMIT_NS;
        while (records.size() < count && System.nanoTime() < end)
            consumer.poll(STEP).forEach(records::add);
        return records;
    }

    private static String digest(List<ConsumerRecord<String, String>> records) throws Exception {
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        for (ConsumerRecord<String, String> r : records) {
            String line = r.offset() + " " + r.timestamp() + " " + r.timestampType() + " " + r.key()
                + " " + r.value() + " " + r.leaderEpoch().isPresent();
            sha.update(line.getBytes(StandardCharsets.UTF_8));
            r.headers().forEach(h -> {
                sha.update(h.key().getBytes(StandardCharsets.UTF_8));
                if (h.value() != null)
                    sha.update(h.value());
            });
        }
        return records.size() + " records " + HexFormat.of().formatHex(sha.digest(), 0, 8);
    }

    private void put(String topic, Integer partition, String codec, int count) throws Exception {
        try (KafkaProducer<String, String> producer = producer(codec)) {
            List<Future<RecordMetadata>> reports = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                ProducerRecord<String, String> record = new ProducerRecord<>(topic, partition,
                    START_MS + i * 1000L, "k" + i, i % 10 == 9 ? null : "value " + i);
                record.headers().add("h", new byte[] {(byte) i}).add("nothing", null);
                reports.add(producer.send(record));
            }
            producer.flush();
            RecordMetadata first = reports.get(0).get(), last = reports.get(count - 1).get();
            say("produced to " + topic + " as " + codec,
                first.offset() + " .. " + last.offset() + " at " + last.timestamp());
        }
    }

    private void records() throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            topics.add(new NewTopic("r-" + codec, 1, (short) 1)
                .configs(Map.of("retention.ms", "-1")));
        topics.add(new NewTopic("stamped", 1, (short) 1)
            .configs(Map.of("message.timestamp.type", "LogAppendTime")));
        make(topics.toArray(new NewTopic[0]));
        try (KafkaConsumer<String, String> consumer = consumer(null)) {
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                TopicPartition partition = new TopicPartition("r-" + codec, 0);
                put(partition.topic(), 0, codec, 200);
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                say("read " + codec, digest(read(consumer, 200)));
            }
        }
        try (KafkaProducer<String, String> producer = producer("none")) {
            RecordMetadata stamped =
                producer.send(new ProducerRecord<>("stamped", 0, 5L, "k", "v")).get();
            say("stamped by the broker", stamped.timestamp() > START_MS);
            char[] large = new char[2_000_000];
            say("too large", outcome(producer.send(
                new ProducerRecord<>("r-none", 0, "k", new String(large)))));
            say("partitions of a topic", producer.partitionsFor("t").size());
        }
        try (KafkaProducer<String, String> producer = producer("none")) {
            say("goes on behind it", producer.send(new ProducerRecord<>("r-none", 0, START_MS, "k",
                "v")).get().offset());
        }
        offsets();
    }

    private void offsets() throws Exception {
        TopicPartition p = new TopicPartition("r-lz4", 0), empty = new TopicPartition("t", 4);
        for (TopicPartition at : List.of(p, empty))
            for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(),
                     OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(START_MS + 50_500),
                     OffsetSpec.forTimestamp(START_MS + 10_000_000))) {
                String answer = tried(() -> {
                    ListOffsetsResult.ListOffsetsResultInfo info =
                        admin.listOffsets(Map.of(at, spec)).partitionResult(at).get();
                    return info.offset() + " at " + info.timestamp() + " " + info.leaderEpoch();
                });
                say("offset of " + at + " " + spec.getClass().getSimpleName(), answer);
            }
        try (KafkaConsumer<String, String> consumer = consumer(null)) {
            say("begin", consumer.beginningOffsets(List.of(p)));
            say("end", consumer.endOffsets(List.of(p)));
            Map<TopicPartition, OffsetAndTimestamp> found =
                consumer.offsetsForTimes(Map.of(p, START_MS + 100_000, empty, START_MS));
            say("by time", found.get(p));
            say("by time where there is nothing", found.get(empty));
            consumer.assign(List.of(p));
            consumer.seek(p, found.get(p).offset());
            say("read from there", digest(read(consumer, 100)));
            consumer.seekToEnd(List.of(p));
            say("position at the end", consumer.position(p));
            say("lag", consumer.currentLag(p));
        }
        Map<TopicPartition, RecordsToDelete> up = Map.of(p, RecordsToDelete.beforeOffset(40));
        say("delete records", admin.deleteRecords(up).lowWatermarks().get(p).get().lowWatermark());
        say("delete beyond the end", outcome(admin.deleteRecords(
            Map.of(p, RecordsToDelete.beforeOffset(1000))).all()));
        say("earliest behind it", admin.listOffsets(Map.of(p, OffsetSpec.earliest()))
            .partitionResult(p).get().offset());
        try (KafkaConsumer<String, String> consumer = consumer(null, "auto.offset.reset", "none")) {
            consumer.assign(List.of(p));
            consumer.seek(p, 3);
            say("read what was deleted", tried(() -> read(consumer, 1).size()));
        }
        say("log directories", admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1)
            .values().stream().map(dir -> dir.error() + " " + dir.replicaInfos().entrySet().stream()
                .filter(e -> e.getKey().equals(p)).map(e -> (e.getValue().size() > 1000) + " "
                    + e.getValue().offsetLag() + " " + e.getValue().isFuture()).toList()).toList());
    }

    // ---- groups

    /** Notes how many partitions came and went. */
    private static final class Moves implements ConsumerRebalanceListener {
        int assigned, revoked, lost;

        @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assigned += partitions.size();
        }
        @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revoked += partitions.size();
        }
        @Override public void onPartitionsLost(Collection<TopicPartition> partitions) {
            lost += partitions.size();
        }
        @Override public String toString() {
            return assigned + " came, " + revoked + " went, " + lost + " were lost";
        }
    }

    /** Polls all in turn until they have so many partitions. */
    private static boolean settle(List<KafkaConsumer<String, String>> consumers, int... wanted) {
        long end = System.nanoTime() + LIMIT_NS;
        while (System.nanoTime() < end) {
            boolean all = true;
            for (int i = 0; i < wanted.length; i++) {
                consumers.get(i).poll(STEP);
                all &= consumers.get(i).assignment().size() == wanted[i];
            }
            if (all)
                return true;
        }
        return false;
    }

    private String group(String id) {
        return tried(() -> {
            ConsumerGroupDescription group = admin.describeConsumerGroups(List.of(id),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).all().get()
                .get(id);
            TreeMap<String, Integer> members = new TreeMap<>();
            group.members().forEach(m -> members.merge(m.clientId() + "/"
                + m.groupInstanceId().orElse("-") + "/" + m.host() + "/"
                + m.assignment().topicPartitions().size(), 1, Integer::sum));
            return group.state() + " " + group.partitionAssignor() + " simple "
                + group.isSimpleConsumerGroup() + " coordinator " + group.coordinator().id() + " "
                + members + " " + (group.authorizedOperations() == null ? null
                    : group.authorizedOperations().stream().map(Enum::name).filter(n ->
                          List.of("READ", "DELETE", "DESCRIBE").contains(n)).sorted().toList());
        });
    }

    private String listed(ConsumerGroupState... states) throws Exception {
        TreeMap<String, String> groups = new TreeMap<>();
        admin.listConsumerGroups(new ListConsumerGroupsOptions().inStates(Set.of(states))).all()
            .get().forEach(g -> groups.put(g.groupId(), g.state().map(Enum::name).orElse("?")
                + " " + g.isSimpleConsumerGroup()));
        return groups.toString();
    }

    private void sharing(String group, String assignor) throws Exception {
        String[] settings = {"partition.assignment.strategy", assignor, "client.id", "c"};
        Moves moves = new Moves();
        try (KafkaConsumer<String, String> one = consumer(group, settings)) {
            one.subscribe(List.of("g"), moves);
            say(group + " alone", settle(List.of(one), 4));
            KafkaConsumer<String, String> two = consumer(group, settings);
            two.subscribe(List.of("g"));
            say(group + " shared", settle(List.of(one, two), 2, 2));
            say(group + " moves", moves);
            say(group + " described", group(group));
            say(group + " listed", listed(ConsumerGroupState.STABLE));
            two.close();
            say(group + " alone again", settle(List.of(one), 4));
            one.commitSync(Map.of(new TopicPartition("g", 0), new OffsetAndMetadata(7, "mine")));
            say(group + " committed", one.committed(Set.of(new TopicPartition("g", 0),
                new TopicPartition("g", 1))));
            say(group + " delete while used",
                outcome(admin.deleteConsumerGroups(List.of(group)).all()));
            say(group + " alter while used", outcome(admin.alterConsumerGroupOffsets(group,
                Map.of(new TopicPartition("g", 0), new OffsetAndMetadata(1))).all()));
            say(group + " delete an offset in use", outcome(admin.deleteConsumerGroupOffsets(group,
                Set.of(new TopicPartition("g", 0))).partitionResult(new TopicPartition("g", 0))));
        }
        say(group + " left", group(group));
    }

    private void administration() throws Exception {
        TopicPartition g0 = new TopicPartition("g", 0), g1 = new TopicPartition("g", 1);
        say("alter", outcome(admin.alterConsumerGroupOffsets("cooperative", Map.of(g0,
            new OffsetAndMetadata(3, java.util.Optional.of(0), "set"), g1,
            new OffsetAndMetadata(4))).all()));
        say("alter of no topic", outcome(admin.alterConsumerGroupOffsets("cooperative",
            Map.of(new TopicPartition("none", 0), new OffsetAndMetadata(1))).all()));
        say("alter makes a group", outcome(admin.alterConsumerGroupOffsets("simple",
            Map.of(g1, new OffsetAndMetadata(9, "s"))).all()));
        say("simple", group("simple"));
        Map<String, ListConsumerGroupOffsetsSpec> both = new TreeMap<>();
        both.put("cooperative", new ListConsumerGroupOffsetsSpec());
        both.put("simple", new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(g0, g1)));
        both.put("nobody", new ListConsumerGroupOffsetsSpec());
        ListConsumerGroupOffsetsResult offsets = admin.listConsumerGroupOffsets(both);
        for (String id : both.keySet())
            say("offsets of " + id, sorted(offsets.partitionsToOffsetAndMetadata(id).get()));
        say("delete an offset", outcome(admin.deleteConsumerGroupOffsets("cooperative",
            Set.of(g0)).all()));
        say("of no group", outcome(admin.deleteConsumerGroupOffsets("nobody", Set.of(g0)).all()));
        say("left", sorted(admin.listConsumerGroupOffsets("cooperative")
            .partitionsToOffsetAndMetadata().get()));
        say("empty ones", listed(ConsumerGroupState.EMPTY));
        say("delete groups", outcome(admin.deleteConsumerGroups(List.of("cooperative")).all()));
        say("delete no group", outcome(admin.deleteConsumerGroups(List.of("nobody")).all()));
        say("all", listed());
        say("nobody", group("nobody"));
    }

    private static String sorted(Map<TopicPartition, OffsetAndMetadata> offsets) {
        TreeMap<String, String> text = new TreeMap<>();
        offsets.forEach((p, o) -> text.put(p.toString(),
            o == null ? "none" : o.offset() + " '" + o.metadata() + "' " + o.leaderEpoch()));
        return text.toString();
    }

    private void staticMembers() throws Exception {
        String[] s1 = {"group.instance.id", "s1", "client.id", "c",
            "partition.assignment.strategy", RangeAssignor.class.getName()};
        String[] s2 = {"group.instance.id", "s2", "client.id", "c",
            "partition.assignment.strategy", RangeAssignor.class.getName()};
        KafkaConsumer<String, String> one = consumer("static", s1);
        KafkaConsumer<String, String> two = consumer("static", s2);
        one.subscribe(List.of("g"));
        say("static alone", settle(List.of(one), 4));
        two.subscribe(List.of("g"));
        say("static shared", settle(List.of(one, two), 2, 2));
        int generation = two.groupMetadata().generationId();
        Set<TopicPartition> had = two.assignment(), led = one.assignment();
        two.close();
        say("static away", group("static"));
        two = consumer("static", s2);
        two.subscribe(List.of("g"));
        say("static back", settle(List.of(two), 2));
        say("static back with the same", two.assignment().equals(had) + " "
            + (two.groupMetadata().generationId() == generation));
        one.close();
        one = consumer("static", s1);
        one.subscribe(List.of("g"));
        say("static leader back", settle(List.of(one), 2));
        say("static leader back with the same", one.assignment().equals(led) + " "
            + (one.groupMetadata().generationId() == generation));
        KafkaConsumer<String, String> twin = consumer("static", s1);
        twin.subscribe(List.of("g"));
        say("static twin", settle(List.of(twin), 2));
        KafkaConsumer<String, String> fenced = one;
        say("static fenced", tried(() -> {
            fenced.commitSync(Map.of(new TopicPartition("g", 0), new OffsetAndMetadata(1)));
            return "committed";
        }));
        say("remove a member", outcome(admin.removeMembersFromConsumerGroup("static",
            new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("s2")))).all()));
        say("remove nobody", outcome(admin.removeMembersFromConsumerGroup("static",
            new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("s9")))).all()));
        say("static takes over", settle(List.of(twin), 4));
        say("remove all", outcome(admin.removeMembersFromConsumerGroup("static",
            new RemoveMembersFromConsumerGroupOptions()).all()));
        say("static emptied", group("static"));
        one.close(Duration.ZERO);
        two.close(Duration.ZERO);
        twin.close(Duration.ZERO);
    }

    private void groups() throws Exception {
        make(new NewTopic("g", 4, (short) 1).configs(Map.of("retention.ms", "-1")));
        sharing("cooperative", CooperativeStickyAssignor.class.getName());
        sharing("eager", RangeAssignor.class.getName());
        staticMembers();
        administration();
        put("g", null, "lz4", 100);
        String[] reader = {"enable.auto.commit", "true"};
        try (KafkaConsumer<String, String> consumer = consumer("reader", reader)) {
            consumer.subscribe(java.util.regex.Pattern.compile("^g$"));
            say("a group reads", read(consumer, 100).size());
        }
        say("and has committed", admin.listConsumerGroupOffsets("reader")
            .partitionsToOffsetAndMetadata().get().values().stream()
            .mapToLong(OffsetAndMetadata::offset).sum());
        try (KafkaConsumer<String, String> consumer = consumer("reader", reader)) {
            consumer.subscribe(List.of("g"));
            put("g", 2, "none", 3);
            say("goes on where it was", read(consumer, 3).size());
        }
    }

    public static void main(String[] arguments) throws Exception {
        Scenario scenario = new Scenario(arguments[0]);
        scenario.clean();
        scenario.cluster();
        scenario.topics();
        scenario.settings();
        scenario.records();
        scenario.groups();
        scenario.admin.close(Duration.ofSeconds(1));
        say("end", "reached");
    }
}
